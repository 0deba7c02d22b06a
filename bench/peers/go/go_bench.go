// The benchmarks of Go: spawn, yield and parked here, the others in arena.go and latency.go.
//
// Usage: go_bench --bench NAME [--size N] [--runs N] [--warmup N] [--workers N]
// [--seconds N] [--file PATH] [--json]
//
// The cases, units and lines are those of bench/<name>_bench.c; --workers is GOMAXPROCS. A result
// comes back through a channel with room for one value, as an await would read it. Results are
// checked: a wrong one ends the program with status 1. Of "parked" a process makes the case "fresh"
// in its first run and "again" in the others.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const window = 1000

var (
	bench   = flag.String("bench", "spawn", "spawn, yield, parked, fib, skynet, channel, timers, mixed or idle")
	size    = flag.Int("size", 1000000, "tasks, yields or messages")
	runs    = flag.Int("runs", 7, "runs that are reported")
	warmup  = flag.Int("warmup", 1, "runs before them")
	workers = flag.Int("workers", 2, "GOMAXPROCS")
	seconds = flag.Int("seconds", 2, "of what is measured by time")
	file    = flag.String("file", "", "data file of mixed")
	asJSON  = flag.Bool("json", false, "JSON lines")
	run     int
)

func kernel() string {
	var system syscall.Utsname
	if syscall.Uname(&system) != nil {
		return ""
	}
	var text []byte
	for _, c := range system.Release {
		if c == 0 {
			break
		}
		text = append(text, byte(c))
	}
	return string(text)
}

func check(name string, got, expected int) {
	if got != expected {
		fmt.Fprintf(os.Stderr, "go: wrong result: %s is %d, expected %d\n", name, got, expected)
		os.Exit(1)
	}
}

func report(name, metric, unit string, value float64, got, expected int) {
	check(name, got, expected)
	reportSamples("go", name, metric, unit, []float64{value}, got)
}

// reportSamples prints one line about samples, which it sorts.
func reportSamples(by, name, metric, unit string, samples []float64, checksum int) {
	if run < 0 || len(samples) == 0 {
		return
	}
	sort.Float64s(samples)
	median, p95 := samples[len(samples)/2], samples[(len(samples)*95-1)/100]
	if !*asJSON {
		fmt.Printf("%-8s %-20s %-13s %-8s %12.1f %s\n", *bench, name, by, metric, median, unit)
		return
	}
	commit := os.Getenv("SKUA_BENCH_COMMIT")
	if commit == "" {
		commit = "unknown"
	}
	line, err := json.Marshal(map[string]interface{}{
		"bench": *bench, "case": name, "by": by, "commit": commit, "kernel": kernel(),
		"machine": runtime.GOARCH, "compiler": runtime.Version(), "cpus": runtime.NumCPU(),
		"workers": *workers, "size": *size, "run": run, "metric": metric, "unit": unit,
		"samples": len(samples), "median": median, "p95": p95, "min": samples[0],
		"checksum": checksum,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func since(start time.Time, count int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(count)
}

func sumTo(n int) int {
	return n * (n + 1) / 2
}

// spawnSome starts goroutines first+1 .. first+count and adds what they return.
func spawnSome(results []chan int, first, count int, yields bool) int {
	sum := 0
	for i := 0; i < count; i++ {
		result := make(chan int, 1)
		results[i] = result
		number := first + i + 1
		if yields {
			go func() { runtime.Gosched(); result <- number }()
		} else {
			go func() { result <- number }()
		}
	}
	for i := 0; i < count; i++ {
		sum += <-results[i]
	}
	return sum
}

func benchSpawn() {
	n := *size
	results := make([]chan int, n)
	start := time.Now()
	sum := spawnSome(results, 0, n, false)
	report("all", "time", "ns/task", since(start, n), sum, sumTo(n))

	start, sum = time.Now(), 0
	for i := 0; i < n; i++ {
		sum += spawnSome(results, i, 1, false)
	}
	report("one", "time", "ns/task", since(start, n), sum, sumTo(n))

	start, sum = time.Now(), 0
	for first := 0; first < n; first += window {
		count := n - first
		if count > window {
			count = window
		}
		sum += spawnSome(results, first, count, true)
	}
	report("window", "time", "ns/task", since(start, n), sum, sumTo(n))

	start = time.Now()
	sum = spawnSome(results, 0, n, true)
	report("parked", "time", "ns/task", since(start, n), sum, sumTo(n))
}

func benchYield() {
	for _, tasks := range []int{2, 16, 1000} {
		each := *size / tasks
		if each == 0 {
			continue
		}
		done := make(chan int, tasks)
		start := time.Now()
		for i := 0; i < tasks; i++ {
			go func() {
				for j := 0; j < each; j++ {
					runtime.Gosched()
				}
				done <- each
			}()
		}
		sum := 0
		for i := 0; i < tasks; i++ {
			sum += <-done
		}
		name := fmt.Sprintf("yield/%d", tasks)
		report(name, "time", "ns/yield", since(start, tasks*each), sum, tasks*each)
	}
	ping, pong := make(chan int), make(chan int)
	rounds, sum := *size/2, 0
	start := time.Now()
	go func() {
		for i := 0; i < rounds; i++ {
			pong <- <-ping + 1
		}
	}()
	for i := 0; i < rounds; i++ {
		ping <- i
		sum += <-pong
	}
	report("ping_pong", "time", "ns/message", since(start, 2*rounds), sum, sumTo(rounds))
}

func memoryBytes() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	kib := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if fields[0] == "VmRSS:" || fields[0] == "VmPTE:" {
			value := 0
			fmt.Sscan(fields[1], &value)
			kib += value
		}
	}
	return float64(kib) * 1024
}

func benchParked() {
	n := *size
	gates, done := make([]chan int, n), make(chan int, 1024)
	var parked int64
	memory, start := memoryBytes(), time.Now()
	for i := range gates {
		gate := make(chan int)
		gates[i] = gate
		go func() {
			atomic.AddInt64(&parked, 1)
			done <- <-gate
		}()
	}
	for atomic.LoadInt64(&parked) < int64(n) {
		runtime.Gosched()
	}
	createNs, bytes := since(start, n), (memoryBytes()-memory)/float64(n)
	start = time.Now()
	go func() {
		for i, gate := range gates {
			gate <- i + 1
		}
	}()
	sum := 0
	for range gates {
		sum += <-done
	}
	joinNs := since(start, n)
	name := "parked/fresh"
	if run > -*warmup {
		name = "parked/again"
	} else {
		report(name, "memory", "bytes/task", bytes, sum, sumTo(n))
	}
	report(name, "create", "ns/task", createNs, sum, sumTo(n))
	report(name, "join", "ns/task", joinNs, sum, sumTo(n))
}

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	workload := map[string]func(){
		"spawn": benchSpawn, "yield": benchYield, "parked": benchParked,
		"fib": benchFib, "skynet": benchSkynet, "channel": benchChannel,
		"timers": benchTimers, "mixed": benchMixed, "idle": benchIdle,
	}
	if workload[*bench] == nil {
		fmt.Fprintln(os.Stderr, "go_bench: unknown benchmark", *bench)
		os.Exit(2)
	}
	for run = -*warmup; run < *runs; run++ {
		workload[*bench]()
	}
}
