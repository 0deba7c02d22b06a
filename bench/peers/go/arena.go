package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// cpuTime is the CPU time of the process, or, with RUSAGE_THREAD (1), of this thread.
func cpuTime(who int) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// ---- fib: a goroutine and a channel for each fork --------------------------------------------------

func fibExpected(n int) int {
	a, b := 0, 1
	for ; n > 0; n-- {
		a, b = b, a+b
	}
	return a
}

func fibSerial(n int) int {
	if n < 2 {
		return n
	}
	return fibSerial(n-1) + fibSerial(n-2)
}

// fib forks down to @cutoff, and goes on serially.
func fib(n, cutoff int) int {
	if n <= cutoff {
		return fibSerial(n)
	}
	left := make(chan int, 1)
	go func() { left <- fib(n-1, cutoff) }()
	right := fib(n-2, cutoff)
	return <-left + right
}

func benchFib() {
	start := time.Now()
	got := fib(*size, 1)
	forks := fibExpected(*size+1) - 1
	report("fork", "each", "ns/fork", since(start, forks), got, fibExpected(*size))
}

// ---- skynet: a goroutine for each node, as in the original -----------------------------------------

func skynet(result chan int, first, leaves int) {
	if leaves == 1 {
		result <- first
		return
	}
	children, sum := make(chan int), 0
	for i := 0; i < 10; i++ {
		go skynet(children, first+i*(leaves/10), leaves/10)
	}
	for i := 0; i < 10; i++ {
		sum += <-children
	}
	result <- sum
}

func benchSkynet() {
	leaves := 1
	for leaves*10 <= *size {
		leaves *= 10
	}
	result := make(chan int)
	start := time.Now()
	go skynet(result, 0, leaves)
	sum := <-result
	nodes := (leaves*10 - 1) / 9
	report("tasks", "time", "ns/task", since(start, nodes), sum, leaves*(leaves-1)/2)
}

// ---- channel: bounded, one to one and four to four -------------------------------------------------

// benchChannel sends --size numbers through one channel with room for 128.
func benchChannel() {
	for _, ends := range []int{1, 4} {
		each := *size / ends
		messages, sums := make(chan int, 128), make(chan int, ends)
		start := time.Now()
		for i := 0; i < ends; i++ {
			go func(first int) {
				for j := 0; j < each; j++ {
					messages <- first + j
				}
			}(i*each + 1)
			go func() {
				sum := 0
				for j := 0; j < each; j++ {
					sum += <-messages
				}
				sums <- sum
			}()
		}
		sum := 0
		for i := 0; i < ends; i++ {
			sum += <-sums
		}
		name := fmt.Sprintf("%d to %d", ends, ends)
		report(name, "time", "ns/message", since(start, ends*each), sum, sumTo(ends*each))
	}
}

// ---- idle: see bench/common/bench_idle.h -----------------------------------------------------------

var sink uint64

func work(value uint64, steps int) uint64 {
	for ; steps > 0; steps-- {
		value = value*6364136223846793005 + 1
	}
	return value
}

func idleSerial(length time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, cpu, own := time.Now(), cpuTime(syscall.RUSAGE_SELF), cpuTime(1)
	for time.Since(start) < length {
		sink += work(1, 10000)
	}
	beyond := cpuTime(syscall.RUSAGE_SELF) - cpu - (cpuTime(1) - own)
	if beyond < 0 {
		beyond = 0
	}
	report("serial", "cpu", "ms/s", 1e3*float64(beyond)/float64(time.Since(start)), 1, 1)
}

func idleChain(length time.Duration) {
	start, cpu, count, value := time.Now(), cpuTime(syscall.RUSAGE_SELF), 0, uint64(1)
	result := make(chan uint64, 1)
	for time.Since(start) < length {
		for i := 0; i < 100; i++ {
			go func() { result <- work(value, 100) }()
			value = <-result
		}
		count += 100
	}
	used := cpuTime(syscall.RUSAGE_SELF) - cpu
	report("chain", "time", "ns/call", since(start, count), 1, 1)
	report("chain", "cpu", "ns/call", float64(used)/float64(count), 1, 1)
}

func benchIdle() {
	length := time.Duration(*seconds) * time.Second
	idleSerial(length)
	idleChain(length)
	time.Sleep(500 * time.Millisecond)
	start, cpu := time.Now(), cpuTime(syscall.RUSAGE_SELF)
	time.Sleep(length)
	used := cpuTime(syscall.RUSAGE_SELF) - cpu
	report("idle", "cpu", "ms/s", 1e3*float64(used)/float64(time.Since(start)), 1, 1)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go:", err)
	os.Exit(1)
}
