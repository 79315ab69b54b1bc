// Go's contestant: goroutines, channels and package net, as the documentation of the language teaches
// them; contestant.h explains how it is called.
//
// GOMAXPROCS is 1 unless the comment of a workload says otherwise: all goroutines then run on one
// thread at a time, and the runtime neither spins nor steals. The collector's settings are the
// defaults. The optimizer has no switches, and profiles guide it only since Go 1.20.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type workload struct {
	// A tenth of a workload that takes nanoseconds is done before, to warm up.
	warmUp  bool
	measure func(times int) float64
}

var workloads = map[string]workload{
	"switch":   {true, switches},
	"spawn":    {true, spawns},
	"skynet":   {false, skynets},
	"queue1":   {true, func(times int) float64 { return queue(1, times) }},
	"queue128": {true, func(times int) float64 { return queue(128, times) }},
	"mutex":    {true, mutex},
	"mutex2":   {true, func(times int) float64 { return contended(2, times) }},
	"mutex100": {true, func(times int) float64 { return contended(100, times) }},
	"timers":   {false, timers},
	"timeout":  {true, timeouts},
	"parked":   {false, parked},
	"executor": {true, executor},
	"queries":  {false, queries},
	"echo":     {false, echo},

	"pop":          {true, func(times int) float64 { return takeReady(times, receive) }},
	"select_ready": {true, func(times int) float64 { return takeReady(times, receiveFromEither) }},
	"pop_wait":     {true, func(times int) float64 { return takeTurns(times, receive) }},
	"select_wait":  {true, func(times int) float64 { return takeTurns(times, receiveFromEither) }},
	"mpsc":         {true, mpsc},
	"mpsc_cores":   {true, mpscOnTwo},
	"broadcast":    {true, broadcast},
	"ticker":       {false, func(times int) float64 { ns, _ := tickers(times, false); return ns }},
	"ticker_apart": {false, func(times int) float64 { ns, _ := tickers(times, true); return ns }},
	"ticker_late":  {false, func(times int) float64 { _, us := tickers(times, true); return us }},

	"process":   {true, processOneByOne},
	"processes": {true, processesAtOnce},
	"pipe_out":  {true, pipeOut},
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintf(os.Stderr, "usage: %s WORKLOAD [TIMES] | echo | version\n", os.Args[0])
		os.Exit(2)
	}
	if os.Args[1] == "version" {
		fmt.Println("Go", strings.TrimPrefix(runtime.Version(), "go"))
		return
	}
	todo, known := workloads[os.Args[1]]
	if !known {
		os.Exit(3)
	}
	times := 1
	if len(os.Args) > 2 {
		var err error
		times, err = strconv.Atoi(os.Args[2])
		check(err)
		require(times > 0, "TIMES is not positive")
	}
	runtime.GOMAXPROCS(1)
	if todo.warmUp {
		todo.measure(times/10 + 1)
	}
	fmt.Printf("%.4g\n", todo.measure(times))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func require(truth bool, otherwise string) {
	if !truth {
		check(errors.New(otherwise))
	}
}

func nsPer(times int, begin time.Time) float64 {
	return float64(time.Since(begin).Nanoseconds()) / float64(times)
}

func scattered(n, end uint64) uint64 {
	return (n * 2654435761 & 0xffffffff) * end >> 32
}

// Runs `count` goroutines, which share `times` turns, until all have ended.
func share(times, count int, run func(turns int)) {
	var all sync.WaitGroup
	all.Add(count)
	for i := 0; i < count; i++ {
		turns := times / count
		if i < times%count {
			turns++
		}
		go func() {
			run(turns)
			all.Done()
		}()
	}
	all.Wait()
}

func switches(times int) float64 {
	begin := time.Now()
	share(times, 2, func(turns int) {
		for i := 0; i < turns; i++ {
			runtime.Gosched()
		}
	})
	return nsPer(times, begin)
}

// The result comes by a channel. It and the closure serve for all in turn, which is a fifth faster.
func spawns(times int) float64 {
	begin := time.Now()
	result := make(chan int)
	work := func() { result <- 1 }
	for i := 0; i < times; i++ {
		go work()
		require(<-result == 1, "a wrong result")
	}
	return nsPer(times, begin)
}

const (
	children = 10
	leaves   = 1000000
	leafSum  = 499999500000
)

func skynet(result chan<- int, first, leaves int) {
	if leaves == 1 {
		result <- first
		return
	}
	part := leaves / children
	results := make(chan int)
	for i := 0; i < children; i++ {
		go skynet(results, first+i*part, part)
	}
	sum := 0
	for i := 0; i < children; i++ {
		sum += <-results
	}
	result <- sum
}

// The original, whose channels have no buffer; with one for all children it takes as long.
// GOMAXPROCS is the number of threads that is asked for.
func skynets(threads int) float64 {
	runtime.GOMAXPROCS(threads)
	var begin time.Time
	for i := 0; i < 2; i++ {
		begin = time.Now()
		result := make(chan int)
		go skynet(result, 0, leaves)
		require(<-result == leafSum, "a wrong sum")
	}
	return time.Since(begin).Seconds() * 1e3
}

func queue(capacity, times int) float64 {
	begin := time.Now()
	items := make(chan int, capacity)
	sum := make(chan int)
	go func() {
		for i := 0; i < times; i++ {
			items <- i
		}
		close(items)
	}()
	go func() {
		total := 0
		for item := range items {
			total += item
		}
		sum <- total
	}()
	require(<-sum == times*(times-1)/2, "a wrong sum")
	return nsPer(times, begin)
}

func receive(channels *[2]chan int, which int) int {
	return <-channels[which]
}

func receiveFromEither(channels *[2]chan int, _ int) int {
	select {
	case item := <-channels[0]:
		return item
	case item := <-channels[1]:
		return item
	}
}

// Takes what is in the first channel or in the second, batch by batch in turn.
func takeReady(times int, take func(channels *[2]chan int, which int) int) float64 {
	const batch = 1000
	channels := [2]chan int{make(chan int, batch), make(chan int, batch)}
	total := 0
	var taking time.Duration
	for taken, which := 0, 0; taken < times; taken, which = taken+batch, 1-which {
		size := batch
		if size > times-taken {
			size = times - taken
		}
		for i := 0; i < size; i++ {
			channels[which] <- 1
		}
		begin := time.Now()
		for i := 0; i < size; i++ {
			total += take(&channels, which)
		}
		taking += time.Since(begin)
	}
	require(total == times, "a wrong sum")
	return float64(taking.Nanoseconds()) / float64(times)
}

// Two goroutines take turns: each takes from one of its two channels, and sends to one of the
// other's.
func takeTurns(times int, take func(channels *[2]chan int, which int) int) float64 {
	var channels [2][2]chan int
	for i := range channels {
		channels[i] = [2]chan int{make(chan int, 1), make(chan int, 1)}
	}
	channels[0][0] <- -1
	begin := time.Now()
	var all sync.WaitGroup
	all.Add(2)
	for mine := 0; mine < 2; mine++ {
		go func(mine int) {
			for turn := mine; turn < times; turn += 2 {
				require(take(&channels[mine], turn/2%2) == turn-1, "a wrong turn")
				channels[1-mine][(turn+1)/2%2] <- turn
			}
			all.Done()
		}(mine)
	}
	all.Wait()
	return nsPer(times, begin)
}

const (
	senders   = 4
	receivers = 10
	buffer    = 100
)

// As the blog's article on pipelines has it, the channel is closed once all senders are done.
func mpsc(times int) float64 {
	begin := time.Now()
	items := make(chan int, buffer)
	go func() {
		share(times, senders, func(turns int) {
			for i := 0; i < turns; i++ {
				items <- 1
			}
		})
		close(items)
	}()
	total := 0
	for item := range items {
		total += item
	}
	require(total == times, "a wrong sum")
	return nsPer(times, begin)
}

// GOMAXPROCS is 2.
func mpscOnTwo(times int) float64 {
	runtime.GOMAXPROCS(2)
	return mpsc(times)
}

// A channel for each receiver. After each hundred values the sender waits until all have them.
func broadcast(times int) float64 {
	begin := time.Now()
	var all, taken sync.WaitGroup
	var channels [receivers]chan int
	all.Add(receivers)
	taken.Add(receivers)
	for i := range channels {
		channels[i] = make(chan int, buffer)
		go func(values <-chan int) {
			total := 0
			for value := range values {
				total += value
				if value%buffer == buffer-1 {
					taken.Done()
				}
			}
			require(total == times*(times-1)/2, "a wrong sum")
			all.Done()
		}(channels[i])
	}
	for value := 0; value < times; value++ {
		for _, channel := range channels {
			channel <- value
		}
		if value%buffer == buffer-1 {
			taken.Wait()
			taken.Add(receivers)
		}
	}
	for _, channel := range channels {
		close(channel)
	}
	all.Wait()
	return nsPer(times, begin)
}

// Processor time for a tick of a thousand time.Tickers of 10 ms in nanoseconds, and how late it is
// received on average in microseconds. They start at once or scattered over 10 ms, and first tick
// 10 ms after.
func tickers(times int, apart bool) (float64, float64) {
	const count = 1000
	const period = 10 * time.Millisecond
	each := times / count
	if each == 0 {
		each = 1
	}
	begin := time.Now().Add(50*time.Millisecond - period)
	var late atomic.Int64
	var all sync.WaitGroup
	all.Add(count)
	for i := 0; i < count; i++ {
		start := begin
		if apart {
			start = start.Add(time.Duration(scattered(uint64(i), 10000)) * time.Microsecond)
		}
		go func() {
			time.Sleep(time.Until(start))
			due := time.Now()
			ticker := time.NewTicker(period)
			var mine time.Duration
			for tick := 0; tick < each; tick++ {
				<-ticker.C
				due = due.Add(period)
				mine += time.Since(due)
			}
			ticker.Stop()
			late.Add(mine.Nanoseconds())
			all.Done()
		}()
	}
	time.Sleep(time.Until(begin.Add(-10 * time.Millisecond)))
	used := processTime()
	all.Wait()
	ticks := float64(each * count)
	return float64((processTime() - used).Nanoseconds()) / ticks,
		float64(late.Load()) / 1e3 / ticks
}

// Processor time of all threads of this process.
func processTime() time.Duration {
	const clockProcess = 2
	var used syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcess,
		uintptr(unsafe.Pointer(&used)), 0)
	if errno != 0 {
		check(errno)
	}
	return time.Duration(used.Nano())
}

func mutex(times int) float64 {
	var mutex sync.Mutex
	begin := time.Now()
	share(times, 1, func(turns int) {
		for i := 0; i < turns; i++ {
			mutex.Lock()
			mutex.Unlock()
		}
	})
	return nsPer(times, begin)
}

func contended(goroutines, times int) float64 {
	var mutex sync.Mutex
	inside := 0
	begin := time.Now()
	share(times, goroutines, func(turns int) {
		for i := 0; i < turns; i++ {
			mutex.Lock()
			inside++
			runtime.Gosched()
			require(inside == 1, "two hold the mutex")
			inside--
			mutex.Unlock()
		}
	})
	return nsPer(times, begin)
}

// Milliseconds until all goroutines have slept, the n-th `duration(n)`. After each thousand those
// that were started run, so that they sleep while the others are started.
func sleeps(times int, duration func(n int) time.Duration) float64 {
	var all sync.WaitGroup
	begin := time.Now()
	all.Add(times)
	for n := 0; n < times; n++ {
		go func(n int) {
			time.Sleep(duration(n))
			all.Done()
		}(n)
		if n%1000 == 999 {
			runtime.Gosched()
		}
	}
	all.Wait()
	return time.Since(begin).Seconds() * 1e3
}

func timers(times int) float64 {
	return sleeps(times, func(n int) time.Duration {
		return time.Duration(scattered(uint64(n), 1000000)) * time.Microsecond
	}) - 1e3
}

func queries(times int) float64 {
	return sleeps(times, func(int) time.Duration { return time.Second })
}

// A timeout is a context: a waiting goroutine has to watch its Done.
func timeouts(times int) float64 {
	const others = 100000
	ends := make([]context.CancelFunc, others)
	for n := range ends {
		after := 10*time.Minute + time.Duration(scattered(uint64(n), 3600))*time.Second
		_, ends[n] = context.WithTimeout(context.Background(), after)
	}
	begin := time.Now()
	for i := 0; i < times; i++ {
		_, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		cancel()
	}
	ns := nsPer(times, begin)
	for _, end := range ends {
		end()
	}
	return ns
}

// The garbage of the start is collected before the first reading, so that it is not taken for
// room that the goroutines need. A stack begins with 2 KiB.
func parked(times int) float64 {
	runtime.GC()
	before := memoryBytes()
	var all sync.WaitGroup
	event := make(chan struct{})
	var waiting atomic.Int64
	all.Add(times)
	for i := 0; i < times; i++ {
		go func() {
			waiting.Add(1)
			<-event
			all.Done()
		}()
	}
	for waiting.Load() < int64(times) {
		runtime.Gosched()
	}
	bytes := (memoryBytes() - before) / float64(times)
	close(event)
	all.Wait()
	return bytes
}

func memoryBytes() float64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	sum := 0.0
	for _, line := range strings.Split(string(status), "\n") {
		words := strings.Fields(line)
		if len(words) == 3 && (words[0] == "VmRSS:" || words[0] == "VmPTE:") {
			kib, err := strconv.Atoi(words[1])
			check(err)
			sum += float64(kib) * 1024
		}
	}
	return sum
}

// Go has no pool for functions that block, since the runtime gives a thread to every goroutine that
// blocks in the kernel. This stands for what runtime.LockOSThread is there for, a library that must
// be called from one thread only: a goroutine locked to its thread runs what it gets by a channel.
// The asking goroutine is locked as well, to keep it to a core. GOMAXPROCS is 2, so that both run at
// once; with 1, or with the asking one free, it takes as long or longer.
func executor(times int) float64 {
	runtime.GOMAXPROCS(2)
	jobs := make(chan func())
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		keepTo(lastCore)
		for job := range jobs {
			job()
			done <- struct{}{}
		}
	}()
	runtime.LockOSThread()
	keepTo(firstCore)
	begin := time.Now()
	for i := 0; i < times; i++ {
		jobs <- func() {}
		<-done
	}
	ns := nsPer(times, begin)
	close(jobs)
	return ns
}

// The standard streams are this process's own, as elsewhere: by default package os/exec opens
// /dev/null for each.
func runTrue() {
	command := exec.Command("/bin/true")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	check(command.Run())
}

func processOneByOne(times int) float64 {
	begin := time.Now()
	for i := 0; i < times; i++ {
		runTrue()
	}
	return nsPer(times, begin)
}

func processesAtOnce(times int) float64 {
	begin := time.Now()
	share(times, times, func(int) { runTrue() })
	return nsPer(times, begin)
}

func pipeOut(times int) float64 {
	begin := time.Now()
	buffer := make([]byte, 64*1024)
	for i := 0; i < times; i++ {
		command := exec.Command("/bin/dd", "if=/dev/zero", "bs=1M", "count=1", "status=none")
		command.Stdin, command.Stderr = os.Stdin, os.Stderr
		output, err := command.StdoutPipe()
		check(err)
		check(command.Start())
		size := 0
		for err == nil {
			var more int
			more, err = output.Read(buffer)
			size += more
		}
		require(err == io.EOF && size == 1024*1024, "a wrong size")
		check(command.Wait())
	}
	return nsPer(times, begin)
}

type coreSet [16]uint64

// Of the cores that this process may use, asked for before any thread keeps to one.
var firstCore, lastCore = cores()

func cores() (int, int) {
	var set coreSet
	affinity(syscall.SYS_SCHED_GETAFFINITY, os.Getpid(), &set)
	first, last := -1, 0
	for core := 0; core < len(set)*64; core++ {
		if set[core/64]>>(core%64)&1 == 1 {
			last = core
			if first < 0 {
				first = core
			}
		}
	}
	return first, last
}

// Keeps the calling thread to this core.
func keepTo(core int) {
	var set coreSet
	set[core/64] = 1 << (core % 64)
	affinity(syscall.SYS_SCHED_SETAFFINITY, 0, &set)
}

func affinity(call uintptr, thread int, set *coreSet) {
	_, _, errno := syscall.RawSyscall(call, uintptr(thread), unsafe.Sizeof(*set),
		uintptr(unsafe.Pointer(set)))
	if errno != 0 {
		check(errno)
	}
}

// A goroutine for each connection. Package net sets TCP_NODELAY by itself, and its backlog is
// /proc/sys/net/core/somaxconn, by default 4,096.
func echo(int) float64 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		check(err)
		go serve(connection)
	}
}

func serve(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 1024)
	for {
		length, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:length]); err != nil {
			return
		}
	}
}
