// An echo server with a goroutine for each connection; see bench/common/bench_echo.h.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
)

const messageMax = 16 * 1024

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, messageMax)
	for {
		got, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:got]); err != nil {
			return
		}
	}
}

func serve(port int) error {
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
		go echo(connection)
	}
}

func main() {
	port := flag.Int("port", 0, "port; 0: any")
	workers := flag.Int("workers", 1, "GOMAXPROCS")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	if err := serve(*port); err != nil {
		fmt.Fprintln(os.Stderr, "echo_go:", err)
		os.Exit(1)
	}
}
