// Tokio's contestant: tasks on its runtime; contestant.h explains how it is called.
//
// The runtime is that of a single thread (current_thread), except for skynet with more threads. Each
// workload enables the drivers that it needs and no more: a runtime with neither I/O nor timers does
// not ask the kernel for events each time a task yields. All work is in spawned tasks, not in the
// future that block_on drives. The rest is the default. Cargo.toml has the profile that the Cargo
// book gives for speed: link-time optimization, one unit of code, no unwinding.
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc, Barrier, Mutex, Notify};
use tokio::task::{unconstrained, yield_now, JoinHandle};
use tokio::time::{interval_at, sleep, sleep_until, timeout};

type Measure = fn(usize) -> f64;

// True if a tenth is done before, to warm up, as of all workloads that take nanoseconds.
fn workloads() -> HashMap<&'static str, (bool, Measure)> {
    HashMap::from([
        ("switch", (true, switches as Measure)),
        ("spawn", (true, spawns)),
        ("skynet", (false, skynets)),
        ("queue1", (true, |times| queue(1, times))),
        ("queue128", (true, |times| queue(128, times))),
        ("mutex", (true, mutex)),
        ("mutex2", (true, |times| contended(2, times))),
        ("mutex100", (true, |times| contended(100, times))),
        ("timers", (false, timers)),
        ("timeout", (true, timeouts)),
        ("parked", (false, parked)),
        ("executor", (true, executor)),
        ("queries", (false, queries)),
        ("echo", (false, echo)),
        ("pop", (true, pop)),
        ("select_ready", (true, select_ready)),
        ("select_biased", (true, select_biased)),
        ("pop_wait", (true, pop_wait)),
        ("select_wait", (true, select_wait)),
        ("mpsc", (true, mpsc_on_one)),
        ("mpsc_cores", (true, mpsc_on_two)),
        ("broadcast", (true, broadcasts)),
        ("ticker", (false, |times| tickers(times, false).0)),
        ("ticker_apart", (false, |times| tickers(times, true).0)),
        ("ticker_late", (false, |times| tickers(times, true).1)),
    ])
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() < 2 {
        eprintln!("usage: {} WORKLOAD [TIMES] | echo | version", arguments[0]);
        exit(2);
    }
    if arguments[1] == "version" {
        println!("{}", env!("TOKIO_VERSION"));
        return;
    }
    let times = match arguments.get(2).map_or(Ok(1), |times| times.parse::<usize>()) {
        Ok(times) if times > 0 => times,
        _ => {
            eprintln!("TIMES is not a positive number");
            exit(1);
        }
    };
    match workloads().get(arguments[1].as_str()) {
        None => exit(3),
        Some((warm_up, measure)) => {
            if *warm_up {
                measure(times / 10 + 1);
            }
            println!("{:.3}", measure(times));
        }
    }
}

// Runs it in a task, on a runtime without drivers.
fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    run_on(Builder::new_current_thread().build().unwrap(), work)
}

fn run_with_time<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    run_on(Builder::new_current_thread().enable_time().build().unwrap(), work)
}

fn run_on<T: Send + 'static>(
    runtime: Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    runtime.block_on(async { tokio::spawn(work).await.unwrap() })
}

fn ns_per(times: usize, begin: Instant) -> f64 {
    begin.elapsed().as_nanos() as f64 / times as f64
}

fn scattered(n: u64, end: u64) -> u64 {
    ((n * 2654435761) & 0xffffffff) * end >> 32
}

// Starts `count` tasks, which share `times` turns, and waits until all have ended.
async fn share<F>(times: usize, count: usize, run: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let turns = |i| times / count + usize::from(i < times % count);
    all((0..count).map(|i| tokio::spawn(run(turns(i)))).collect()).await;
}

async fn all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

fn switches(times: usize) -> f64 {
    run(async move {
        let begin = Instant::now();
        share(times, 2, |turns| async move {
            for _ in 0..turns {
                yield_now().await;
            }
        })
        .await;
        ns_per(times, begin)
    })
}

fn spawns(times: usize) -> f64 {
    run(async move {
        let begin = Instant::now();
        for i in 0..times {
            assert_eq!(tokio::spawn(async move { i }).await.unwrap(), i);
        }
        ns_per(times, begin)
    })
}

const CHILDREN: i64 = 10;
const LEAVES: i64 = 1_000_000;
const LEAF_SUM: i64 = 499_999_500_000;

// A future that contains others of its own type has to be in a box.
fn skynet(first: i64, leaves: i64) -> Pin<Box<dyn Future<Output = i64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        let part = leaves / CHILDREN;
        let mut children = Vec::with_capacity(CHILDREN as usize);
        for i in 0..CHILDREN {
            children.push(tokio::spawn(skynet(first + i * part, part)));
        }
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

fn skynets(threads: usize) -> f64 {
    let runtime = if threads == 1 {
        Builder::new_current_thread().build().unwrap()
    } else {
        Builder::new_multi_thread().worker_threads(threads).build().unwrap()
    };
    let mut ms = 0.0;
    for _ in 0..2 {
        let begin = Instant::now();
        let sum = runtime.block_on(async { tokio::spawn(skynet(0, LEAVES)).await.unwrap() });
        assert_eq!(sum, LEAF_SUM);
        ms = begin.elapsed().as_secs_f64() * 1e3;
    }
    ms
}

fn queue(capacity: usize, times: usize) -> f64 {
    run(async move {
        let begin = Instant::now();
        let (sender, mut receiver) = mpsc::channel(capacity);
        let pushing = tokio::spawn(async move {
            for i in 0..times {
                sender.send(i).await.unwrap();
            }
        });
        let popping = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(item) = receiver.recv().await {
                sum += item;
            }
            sum
        });
        pushing.await.unwrap();
        assert_eq!(popping.await.unwrap(), times * (times - 1) / 2);
        ns_per(times, begin)
    })
}

const BATCH: usize = 1_000;

// Takes what is in the first channel or in the second, batch by batch in turn. `$take` is evaluated for
// each item, with the receivers and the number of the one that has items by these names.
macro_rules! take_ready {
    ($times:ident, $receivers:ident, $which:ident, $take:expr) => {
        run(async move {
            let (first, first_receiver) = mpsc::channel(BATCH);
            let (second, second_receiver) = mpsc::channel(BATCH);
            let senders = [first, second];
            let mut $receivers = [first_receiver, second_receiver];
            let mut ns = 0.0;
            let mut sum = 0;
            for (batch, taken) in (0..$times).step_by(BATCH).enumerate() {
                let $which = batch % 2;
                let size = BATCH.min($times - taken);
                for _ in 0..size {
                    senders[$which].try_send(1).unwrap();
                }
                let begin = Instant::now();
                for _ in 0..size {
                    sum += $take;
                }
                ns += begin.elapsed().as_nanos() as f64;
            }
            assert_eq!(sum, $times);
            ns / $times as f64
        })
    };
}

fn pop(times: usize) -> f64 {
    take_ready!(times, receivers, which, receivers[which].recv().await.unwrap())
}

// In a random order, which is the default.
macro_rules! recv_either {
    ($receivers:expr) => {{
        let [first, second] = &mut $receivers;
        tokio::select! {
            Some(item) = first.recv() => item,
            Some(item) = second.recv() => item,
            else => panic!(),
        }
    }};
}

fn select_ready(times: usize) -> f64 {
    take_ready!(times, receivers, _which, recv_either!(receivers))
}

fn select_biased(times: usize) -> f64 {
    take_ready!(times, receivers, _which, {
        let [first, second] = &mut receivers;
        tokio::select! {
            biased;
            Some(item) = first.recv() => item,
            Some(item) = second.recv() => item,
            else => panic!(),
        }
    })
}

// Two tasks take turns: each takes from one of its two channels, and sends to one of the other's.
macro_rules! take_turns {
    ($times:ident, $receivers:ident, $which:ident, $take:expr) => {
        run(async move {
            let [(a, own_a), (b, own_b), (c, own_c), (d, own_d)] = [(); 4].map(|_| mpsc::channel(1));
            a.try_send(0).unwrap();
            let begin = Instant::now();
            let mut tasks = Vec::new();
            for (mine, mut $receivers, others) in
                [(0, [own_a, own_b], [c, d]), (1, [own_c, own_d], [a, b])]
            {
                tasks.push(tokio::spawn(async move {
                    for turn in (mine..$times).step_by(2) {
                        let $which = turn / 2 % 2;
                        assert_eq!($take, turn);
                        // The last turn's is for nobody.
                        let _ = others[(turn + 1) / 2 % 2].send(turn + 1).await;
                    }
                    // The other may still send.
                    $receivers
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            ns_per($times, begin)
        })
    };
}

fn pop_wait(times: usize) -> f64 {
    take_turns!(times, receivers, which, receivers[which].recv().await.unwrap())
}

fn select_wait(times: usize) -> f64 {
    take_turns!(times, receivers, _which, recv_either!(receivers))
}

const SENDERS: usize = 4;
const RECEIVERS: usize = 10;
const BUFFER: usize = 100;

// A clone of the sender for each task; the channel is closed when the last one is dropped.
async fn send_and_receive(times: usize) -> f64 {
    let begin = Instant::now();
    let (sender, mut receiver) = mpsc::channel(BUFFER);
    for i in 0..SENDERS {
        let sender = sender.clone();
        tokio::spawn(async move {
            for item in (i..times).step_by(SENDERS) {
                sender.send(item).await.unwrap();
            }
        });
    }
    drop(sender);
    let mut sum = 0;
    while let Some(item) = receiver.recv().await {
        sum += item;
    }
    assert_eq!(sum, times * (times - 1) / 2);
    ns_per(times, begin)
}

fn mpsc_on_one(times: usize) -> f64 {
    run(send_and_receive(times))
}

fn mpsc_on_two(times: usize) -> f64 {
    run_on(
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
        send_and_receive(times),
    )
}

// The sender of a broadcast channel never waits, and a receiver that is too late misses values. So
// after each hundred the sender waits, at a barrier, until all have them. The capacity is rounded up
// to 128.
fn broadcasts(times: usize) -> f64 {
    run(async move {
        let begin = Instant::now();
        let (sender, receiver) = broadcast::channel(BUFFER);
        drop(receiver);
        let all_taken = Arc::new(Barrier::new(RECEIVERS + 1));
        let mut tasks = Vec::new();
        for _ in 0..RECEIVERS {
            let mut receiver = sender.subscribe();
            let all_taken = all_taken.clone();
            tasks.push(tokio::spawn(async move {
                let mut sum = 0;
                for i in 0..times {
                    sum += receiver.recv().await.unwrap();
                    if i % BUFFER == BUFFER - 1 {
                        all_taken.wait().await;
                    }
                }
                assert_eq!(sum, times * (times - 1) / 2);
            }));
        }
        for value in 0..times {
            sender.send(value).unwrap();
            if value % BUFFER == BUFFER - 1 {
                all_taken.wait().await;
            }
        }
        all(tasks).await;
        ns_per(times, begin)
    })
}

// Processor time for a tick of a thousand intervals of 10 ms in nanoseconds, and how late it comes on
// average in microseconds. They begin at once or scattered over 10 ms. Tokio's timers have a resolution
// of a millisecond.
fn tickers(times: usize, apart: bool) -> (f64, f64) {
    const COUNT: usize = 1_000;
    const PERIOD: Duration = Duration::from_millis(10);
    static LATE_NS: AtomicUsize = AtomicUsize::new(0);
    let each = (times / COUNT).max(1);
    let ticks = (each * COUNT) as f64;
    let ns = run_with_time(async move {
        let begin = tokio::time::Instant::now() + Duration::from_millis(50);
        let mut tasks = Vec::new();
        for i in 0..COUNT {
            let offset = if apart { scattered(i as u64, 10_000) } else { 0 };
            let mut ticker = interval_at(begin + Duration::from_micros(offset), PERIOD);
            tasks.push(tokio::spawn(async move {
                for _ in 0..each {
                    let due = ticker.tick().await;
                    LATE_NS.fetch_add(due.elapsed().as_nanos() as usize, Relaxed);
                }
            }));
        }
        sleep_until(begin - Duration::from_millis(10)).await;
        let used = process_ns();
        all(tasks).await;
        (process_ns() - used) / ticks
    });
    (ns, LATE_NS.load(Relaxed) as f64 / 1e3 / ticks)
}

// Processor time of all threads of this process.
fn process_ns() -> f64 {
    unsafe {
        let mut used: libc::timespec = std::mem::zeroed();
        let error = libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used);
        assert_eq!(error, 0, "clock_gettime");
        used.tv_sec as f64 * 1e9 + used.tv_nsec as f64
    }
}

// Tokio's mutex, which a task may hold while it waits.
fn mutex(times: usize) -> f64 {
    run(async move {
        let mutex = Mutex::new(0);
        let begin = Instant::now();
        for _ in 0..times {
            *mutex.lock().await += 1;
        }
        let ns = ns_per(times, begin);
        assert_eq!(mutex.into_inner(), times);
        ns
    })
}

fn contended(tasks: usize, times: usize) -> f64 {
    run(async move {
        let mutex = Arc::new(Mutex::new(0));
        let begin = Instant::now();
        share(times, tasks, |turns| {
            let mutex = mutex.clone();
            async move {
                for _ in 0..turns {
                    let mut sections = mutex.lock().await;
                    yield_now().await;
                    *sections += 1;
                }
            }
        })
        .await;
        let ns = ns_per(times, begin);
        assert_eq!(*mutex.lock().await, times);
        ns
    })
}

// Milliseconds until all tasks have slept, the n-th `duration(n)`. Tokio's timers have a resolution of
// a millisecond. After each thousand those that were started run, so that they sleep while the others
// are started. As in the tutorial, a channel closes when all have ended: a handle for each task would
// keep the memory of those that ended.
fn sleeps(times: usize, duration: fn(usize) -> Duration) -> f64 {
    run_with_time(async move {
        let begin = Instant::now();
        let (sleeping, mut ended) = mpsc::channel::<()>(1);
        for n in 0..times {
            let sleeping = sleeping.clone();
            tokio::spawn(async move {
                sleep(duration(n)).await;
                drop(sleeping);
            });
            if n % 1000 == 999 {
                yield_now().await;
            }
        }
        drop(sleeping);
        assert!(ended.recv().await.is_none());
        begin.elapsed().as_secs_f64() * 1e3
    })
}

fn timers(times: usize) -> f64 {
    sleeps(times, |n| Duration::from_micros(scattered(n as u64, 1_000_000))) - 1e3
}

fn queries(times: usize) -> f64 {
    sleeps(times, |_| Duration::from_secs(1))
}

// A timeout registers its timer only if what it is around has to wait, when it is first polled; around
// what is ready it costs next to nothing, and guards nothing. So here it is around what never ends,
// and is given up because something else is ready: its timer is registered and removed. It takes no
// part in the cooperative budget, whose end would keep it from being registered.
fn timeouts(times: usize) -> f64 {
    const OTHERS: u64 = 100_000;
    run_with_time(async move {
        for n in 0..OTHERS {
            let after = Duration::from_secs(600 + scattered(n, 3600));
            tokio::spawn(timeout(after, std::future::pending::<()>()));
        }
        yield_now().await;
        let begin = Instant::now();
        unconstrained(async {
            for _ in 0..times {
                tokio::select! {
                    biased;
                    _ = timeout(Duration::from_secs(5), std::future::pending::<()>()) => panic!(),
                    _ = std::future::ready(()) => {}
                }
            }
        })
        .await;
        ns_per(times, begin)
    })
}

fn parked(times: usize) -> f64 {
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    run(async move {
        let event = Arc::new(Notify::new());
        let before = memory_bytes();
        for _ in 0..times {
            let event = event.clone();
            tokio::spawn(async move {
                WAITING.fetch_add(1, Relaxed);
                event.notified().await;
                WAITING.fetch_sub(1, Relaxed);
            });
        }
        while WAITING.load(Relaxed) < times {
            yield_now().await;
        }
        let bytes = (memory_bytes() - before) / times as f64;
        event.notify_waiters();
        while WAITING.load(Relaxed) > 0 {
            yield_now().await;
        }
        bytes
    })
}

fn memory_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut sum = 0.0;
    for line in status.lines() {
        if line.starts_with("VmRSS:") || line.starts_with("VmPTE:") {
            let kib = line.split_whitespace().nth(1).unwrap();
            sum += kib.parse::<f64>().unwrap() * 1024.0;
        }
    }
    sum
}

// The runtime has one thread for functions that block. The waiter is a spawned task, on a thread that
// was started to keep to a core.
fn executor(times: usize) -> f64 {
    let (first, last) = cores();
    let asking = std::thread::spawn(move || {
        keep_to(first);
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .on_thread_start(move || keep_to(last))
            .build()
            .unwrap();
        run_on(runtime, async move {
            let begin = Instant::now();
            for _ in 0..times {
                tokio::task::spawn_blocking(|| {}).await.unwrap();
            }
            ns_per(times, begin)
        })
    });
    asking.join().unwrap()
}

// The first and the last of the cores that the calling thread may use.
fn cores() -> (usize, usize) {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let error = libc::sched_getaffinity(0, std::mem::size_of_val(&set), &mut set);
        assert_eq!(error, 0, "sched_getaffinity");
        let usable = |core: &usize| libc::CPU_ISSET(*core, &set);
        let mut all = 0..libc::CPU_SETSIZE as usize;
        (all.clone().find(usable).unwrap(), all.rfind(usable).unwrap())
    }
}

// Keeps the calling thread to this core.
fn keep_to(core: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        let error = libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set);
        assert_eq!(error, 0, "sched_setaffinity");
    }
}

// A task for each connection.
fn echo(_times: usize) -> f64 {
    run_on(Builder::new_current_thread().enable_io().build().unwrap(), async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(4096).unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
