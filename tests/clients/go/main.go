// A client of Go's net/http: many requests over kept connections, bodies both ways, a redirect, a context that ends.
// Usage: client PROXY_URL TARGET_URL
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	proxy, err := url.Parse(os.Args[1])
	if err != nil {
		fail(err)
	}
	target := os.Args[2]
	client := &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), MaxIdleConnsPerHost: 8},
	}
	var group sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 50; i++ {
				expect(client, http.MethodGet, target+"/plain", nil, "ok")
			}
		}()
	}
	group.Wait()
	expect(client, http.MethodPost, target+"/echo", strings.NewReader("sized"), "sized")
	// A reader without a length: net/http sends it in chunks.
	expect(client, http.MethodPut, target+"/echo", io.MultiReader(bytes.NewReader([]byte("in ")), strings.NewReader("chunks")), "in chunks")
	expect(client, http.MethodGet, target+"/moved", nil, "ok")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, target+"/never", nil)
	if _, err := client.Do(request); err == nil {
		fail(fmt.Errorf("a request that nobody answers came back"))
	}
	expect(client, http.MethodGet, target+"/plain", nil, "ok")
	fmt.Println("all well")
}

func expect(client *http.Client, method, address string, body io.Reader, wanted string) {
	request, err := http.NewRequest(method, address, body)
	if err != nil {
		fail(err)
	}
	response, err := client.Do(request)
	if err != nil {
		fail(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		fail(err)
	}
	if response.StatusCode != http.StatusOK || string(got) != wanted {
		fail(fmt.Errorf("%s %s: %s %q, wanted %q", method, address, response.Status, got, wanted))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
