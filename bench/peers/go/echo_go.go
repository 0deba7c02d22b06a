// An echo server with a goroutine for each connection; see bench/common/bench_echo.h. With --stalls
// it is a server of the workload stalls, see bench/load/load_stalls.h.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

const (
	messageMax         = 16 * 1024
	stallsMessageBytes = 64
)

// compute computes as long as the message says.
func compute(message []byte) {
	if len(message) != stallsMessageBytes {
		fmt.Fprintf(os.Stderr, "stalls: received %d bytes, not a message\n", len(message))
		os.Exit(1)
	}
	us := binary.LittleEndian.Uint32(message)
	if us == 0 {
		return
	}
	length := time.Duration(us) * time.Microsecond
	for start := time.Now(); time.Since(start) < length; {
	}
}

func echo(connection net.Conn, stalls bool) {
	defer connection.Close()
	buffer := make([]byte, messageMax)
	for {
		got, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if stalls {
			compute(buffer[:got])
		}
		if _, err = connection.Write(buffer[:got]); err != nil {
			return
		}
	}
}

func serve(port int, stalls bool) error {
	// Without keep-alive, which would be three calls for each connection. Go sets TCP_NODELAY.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(connection, stalls)
	}
}

func main() {
	port := flag.Int("port", 0, "port; 0: any")
	workers := flag.Int("workers", 1, "GOMAXPROCS")
	stalls := flag.Bool("stalls", false, "compute as long as each message says")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	if err := serve(*port, *stalls); err != nil {
		fmt.Fprintln(os.Stderr, "echo_go:", err)
		os.Exit(1)
	}
}
