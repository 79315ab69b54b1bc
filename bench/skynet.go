// Skynet in Go: a goroutine for each node, and a channel for each inner one.
// skynet_go THREADS TIMES prints the milliseconds of each time, after one for nothing.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

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

func argument(i int) int {
	value, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	runtime.GOMAXPROCS(argument(1))
	times := argument(2)
	for i := 0; i <= times; i++ {
		begin := time.Now()
		result := make(chan int)
		go skynet(result, 0, leaves)
		if <-result != leafSum {
			panic("a wrong sum")
		}
		if i > 0 {
			fmt.Println(time.Since(begin).Seconds() * 1e3)
		}
	}
}
