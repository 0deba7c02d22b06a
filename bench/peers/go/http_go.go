// net/http as a server of the workload http; see bench/http_bench.py.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
)

func plaintext(answer http.ResponseWriter, _ *http.Request) {
	header := answer.Header()
	header.Set("Server", "go")
	header.Set("Content-Type", "text/plain")
	answer.Write([]byte("Hello, World!"))
}

func main() {
	port := flag.Int("port", 0, "port; 0: any")
	workers := flag.Int("workers", 1, "GOMAXPROCS")
	root := flag.String("root", "", "serve the files below it")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	listener, err := net.Listen("tcp4", fmt.Sprint("127.0.0.1:", *port))
	if err == nil {
		http.HandleFunc("/plaintext", plaintext)
		if *root != "" {
			http.Handle("/", http.FileServer(http.Dir(*root)))
		}
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		err = http.Serve(listener, nil)
	}
	fmt.Fprintln(os.Stderr, "http_go:", err)
	os.Exit(1)
}
