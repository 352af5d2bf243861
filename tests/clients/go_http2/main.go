// An HTTP/2 server and a client of Go's net/http, without TLS.
//
//	http2 serve            prints its port; echoes, with trailers
//	http2 call URL HOST    asks every way it knows, through the proxy at URL; prints "all well"
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	if os.Args[1] == "serve" {
		serve()
	} else {
		call(os.Args[2], os.Args[3])
	}
}

func serve() {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(echo), Protocols: protocols}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() { // the test ends us by closing our input
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server.Serve(listener)
}

// echo gives every piece of the body back as it comes, then the request's trailers as its own.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/never" {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Trailer", "X-Sum, X-Seen")
	w.Header().Set("X-Proto", r.Proto)
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	control.Flush()
	buffer := make([]byte, 32*1024)
	total := 0
	for {
		n, err := r.Body.Read(buffer)
		total += n
		if n > 0 {
			w.Write(buffer[:n])
			control.Flush()
		}
		if err != nil {
			break
		}
	}
	w.Header().Set("X-Sum", fmt.Sprint(total))
	w.Header().Set("X-Seen", r.Trailer.Get("X-Asked"))
}

func call(url, host string) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: 30 * time.Second}
	ask := func(body io.Reader, trailer http.Header) *http.Response {
		request, err := http.NewRequest("POST", url+"/echo", body)
		check(err)
		request.Host = host
		request.Trailer = trailer
		response, err := client.Do(request)
		check(err)
		want(response.StatusCode == 200, "status", response.StatusCode)
		want(response.Proto == "HTTP/2.0", "client's protocol", response.Proto)
		want(response.Header.Get("X-Proto") == "HTTP/2.0", "server's protocol", response.Header.Get("X-Proto"))
		return response
	}

	// A megabyte there and back, with trailers both ways.
	big := bytes.Repeat([]byte("0123456789abcdef"), 65536)
	response := ask(io.MultiReader(bytes.NewReader(big)), http.Header{"X-Asked": {"yes"}})
	got, err := io.ReadAll(response.Body)
	check(err)
	want(bytes.Equal(got, big), "echo of", len(got))
	want(response.Trailer.Get("X-Sum") == fmt.Sprint(len(big)), "trailer", response.Trailer)
	want(response.Trailer.Get("X-Seen") == "yes", "trailer of the request", response.Trailer)

	// A conversation: each word is answered before the next is said.
	reader, writer := io.Pipe()
	response = ask(reader, nil)
	for _, word := range []string{"one", "two", "three"} {
		writer.Write([]byte(word))
		heard := make([]byte, len(word))
		_, err := io.ReadFull(response.Body, heard)
		check(err)
		want(string(heard) == word, "word", string(heard))
	}
	writer.Close()
	_, err = io.ReadAll(response.Body)
	check(err)

	// Many at once on the one connection.
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			body := bytes.Repeat([]byte{byte(i)}, 1000*i)
			response := ask(bytes.NewReader(body), nil)
			got, err := io.ReadAll(response.Body)
			check(err)
			want(bytes.Equal(got, body), "one of many", len(got))
		}()
	}
	all.Wait()

	// One that is given up leaves the others alone.
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	request, _ := http.NewRequestWithContext(ctx, "GET", url+"/never", nil)
	request.Host = host
	_, err = client.Do(request)
	want(err != nil, "a request that never ends", err)
	cancel()
	response = ask(bytes.NewReader([]byte("after")), nil)
	io.Copy(io.Discard, response.Body)
	fmt.Println("all well")
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func want(ok bool, what string, got any) {
	if !ok {
		fmt.Println("failed:", what, got)
		os.Exit(1)
	}
}
