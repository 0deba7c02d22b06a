package main

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// random is bench_random() of bench/common/bench.c.
func random(state *uint64) uint64 {
	*state ^= *state << 13
	*state ^= *state >> 7
	*state ^= *state << 17
	return *state
}

// ---- timers: see bench/common/bench_timers.h -------------------------------------------------------

type timers struct {
	by        string
	name      string // of the case
	deadlines []time.Time
	late      []float64 // in us; negative until the timer has fired
	done      sync.WaitGroup
	first     time.Time // no deadline is before this
	start     time.Time
	cpu       time.Duration
}

// newTimers makes the first timer due in so many microseconds for every timer, and 0.2 s.
func newTimers(by, name string, eachUs int) *timers {
	t := &timers{by: by, name: name, deadlines: make([]time.Time, *size), late: make([]float64, *size)}
	state := uint64(1)
	t.first = time.Now().Add(200*time.Millisecond + time.Duration(*size*eachUs)*time.Microsecond)
	spread := uint64(*size) * 3000
	if name == "burst" {
		spread = uint64(*size) * 20
	}
	for i := range t.deadlines {
		t.deadlines[i] = t.first.Add(time.Duration(random(&state) % spread))
		if i%2 == 1 {
			t.deadlines[i] = t.deadlines[i].Add(10 * time.Minute)
		}
		t.late[i] = -1
	}
	t.start, t.cpu = time.Now(), cpuTime(syscall.RUSAGE_SELF)
	return t
}

func (t *timers) fired(i int) {
	late := time.Since(t.deadlines[i])
	if late < 0 || t.late[i] >= 0 {
		fail(errors.New("a timer fired too early, or twice"))
	}
	t.late[i] = float64(late) / 1e3
	t.done.Done()
}

// end waits for the timers that were not cancelled.
func (t *timers) end(armed, cancelled time.Time) {
	t.done.Wait()
	used, n, fired := cpuTime(syscall.RUSAGE_SELF)-t.cpu, len(t.late), []float64{}
	last := t.first // when the last one fired
	for i, late := range t.late {
		if (late >= 0) == (i%2 == 1) {
			fail(errors.New("a timer did what it should not"))
		}
		if late >= 0 {
			fired = append(fired, late)
			at := t.deadlines[i].Add(time.Duration(late * 1e3))
			if at.After(last) {
				last = at
			}
		}
	}
	check("timers", len(fired), n-n/2)
	line := func(metric, unit string, samples ...float64) {
		reportSamples(t.by, t.name, metric, unit, samples, len(fired))
	}
	line("arm", "ns/timer", float64(armed.Sub(t.start))/float64(n))
	line("cancel", "ns/timer", float64(cancelled.Sub(armed))/float64(n/2+n%2))
	line("cpu", "ns/timer", float64(used)/float64(n))
	if !cancelled.After(t.first) { // else arming took too long for it to mean anything
		line("late", "us", fired...)
		if t.name == "burst" {
			line("fire", "ns/timer", float64(last.Sub(t.first))/float64(len(fired)))
		}
	}
}

// timersFunc arms timers that call a function, in a goroutine each, when they fire.
func timersFunc(name string) {
	t, handles := newTimers("go AfterFunc", name, 3), make([]*time.Timer, *size)
	t.done.Add(*size - *size/2)
	for i := range handles {
		i := i
		handles[i] = time.AfterFunc(time.Until(t.deadlines[i]), func() { t.fired(i) })
	}
	armed := time.Now()
	for i := 1; i < *size; i += 2 {
		handles[i].Stop()
	}
	t.end(armed, time.Now())
}

// timersGoroutine has a goroutine wait for each deadline, or to be cancelled, as Skua's tasks do.
func timersGoroutine() {
	t, asleep := newTimers("go", "armed", 12), int64(0)
	cancels, ended := make([]chan bool, *size), sync.WaitGroup{}
	t.done.Add(*size - *size/2)
	ended.Add(*size / 2)
	for i := range cancels {
		cancels[i] = make(chan bool, 1)
		go func(i int) {
			timer := time.NewTimer(time.Until(t.deadlines[i]))
			atomic.AddInt64(&asleep, 1)
			select {
			case <-timer.C:
				t.fired(i)
			case <-cancels[i]:
				timer.Stop()
				ended.Done()
			}
		}(i)
	}
	for atomic.LoadInt64(&asleep) < int64(*size) {
		time.Sleep(100 * time.Microsecond)
	}
	armed := time.Now()
	for i := 1; i < *size; i += 2 {
		cancels[i] <- true
	}
	ended.Wait()
	t.end(armed, time.Now())
}

func benchTimers() {
	timersGoroutine()
	timersFunc("armed")
	timersFunc("burst")
}

// ---- mixed: see bench/common/bench_mixed.h ---------------------------------------------------------

const (
	readers    = 64
	period     = 10 * time.Millisecond
	blockBytes = 4096
	fileBlocks = 65536
	mixedFib   = 27
	mixedLeast = 12 // a goroutine for every call would be slower than one thread
)

// compute goes on for --seconds, or until nothing is left; the mean of a computation, in us.
func compute(left *int64) float64 {
	start, rounds, expected := time.Now(), 0, fibExpected(mixedFib)
	length := time.Duration(*seconds) * time.Second
	for {
		check("fib", fib(mixedFib, mixedLeast), expected)
		rounds++
		if left == nil && time.Since(start) >= length || left != nil && atomic.LoadInt64(left) == 0 {
			return float64(time.Since(start)) / 1e3 / float64(rounds)
		}
	}
}

type mixed struct {
	file      *os.File
	start     time.Time
	reads     int
	read, due []float64
	right     int64
}

func (m *mixed) reader(index int) {
	buffer, state := make([]byte, blockBytes), uint64(index+1)*0x9e3779b97f4a7c15
	for i := 0; i < m.reads; i++ {
		due := m.start.Add(time.Duration(i+1)*period + time.Duration(index)*(period/readers))
		block := random(&state) % fileBlocks
		time.Sleep(time.Until(due))
		start := time.Now()
		if _, err := m.file.ReadAt(buffer, int64(block*blockBytes)); err != nil {
			fail(err)
		}
		now := time.Now()
		m.read[index*m.reads+i] = float64(now.Sub(start)) / 1e3
		m.due[index*m.reads+i] = float64(now.Sub(due)) / 1e3
		if binary.LittleEndian.Uint64(buffer) == block {
			atomic.AddInt64(&m.right, 1)
		}
	}
}

func (m *mixed) latency(metric string, samples []float64) {
	reportSamples("go", "readers", metric, "us", samples, len(samples))
	if run >= 0 { // a silent run does not sort
		p99 := samples[(len(samples)*99-1)/100]
		reportSamples("go", "readers", metric+" p99", "us", []float64{p99}, len(samples))
	}
}

func benchMixed() {
	opened, err := os.Open(*file)
	if err != nil {
		fail(err)
	}
	defer opened.Close()
	reads := *seconds * int(time.Second/period)
	m := &mixed{file: opened, reads: reads}
	m.read, m.due = make([]float64, reads*readers), make([]float64, reads*readers)
	alone, left := compute(nil), int64(readers)
	m.start = time.Now()
	for i := 0; i < readers; i++ {
		go func(i int) { m.reader(i); atomic.AddInt64(&left, -1) }(i)
	}
	beside := compute(&left)
	check("reads", int(m.right), reads*readers)
	m.latency("read", m.read)
	m.latency("due", m.due)
	count := reads * readers
	reportSamples("go", "fork", "alone", "us", []float64{alone}, count)
	reportSamples("go", "fork", "beside", "us", []float64{beside}, count)
	reportSamples("go", "fork", "slowdown", "ratio", []float64{beside / alone}, count)
}
