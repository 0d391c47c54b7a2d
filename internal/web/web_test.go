package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:7950": "", "127.8.8.8:0": "", "[::1]:80": "",
		"0.0.0.0:7950": "must be a loopback address", "[::]:7950": "must be a loopback address", "192.168.1.10:7950": "use `ssh -L 7950:127.0.0.1:7950 HOST`",
		"localhost:7950": "must be an address with a port", ":7950": "must be an address with a port", "127.0.0.1": "must be an address", "": "must be an address",
	} {
		_, err := ParseAddress(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// counter is a part that counts how often it is read.
type counter struct {
	reads, atOnce, most atomic.Int32
	hold                chan struct{} // nil: a read does not wait
}

func (c *counter) part(every time.Duration) Part {
	return Part{Every: every, Sections: []Section{{ID: "count", Title: "Count", Lead: "none"}}, Read: func() Content {
		if n := c.atOnce.Add(1); n > c.most.Load() {
			c.most.Store(n)
		}
		defer c.atOnce.Add(-1)
		if c.hold != nil {
			<-c.hold
		}
		n := c.reads.Add(1)
		return Content{
			Sections: []Section{{ID: "count", Title: "Count", Lead: fmt.Sprint("read ", n, " <times>")}},
			Files: []File{
				{"/json/count", TypeJSON, func() ([]byte, error) { return fmt.Append(nil, n), nil }},
				{"/json/none", TypeJSON, func() ([]byte, error) { return nil, errors.New("there is none") }},
				{"/count.svg", TypeSVG, func() ([]byte, error) { return []byte("<svg/>"), nil }},
			},
		}
	}}
}

// serve serves a page until the test ends.
func serve(t *testing.T, s Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestOnlyThisHostsPagesAreAnswered(t *testing.T) {
	addr := serve(t, Server{Title: "T", Parts: []Part{new(counter).part(time.Hour)}})
	tests := []struct {
		method, path, host, header string // header: "Name: value; Name: value"
		code                       int
		want                       string
	}{
		{"GET", "/", "", "", 200, "<h1>T</h1>"},
		{"GET", "/", "localhost", "", 200, "read 1 &lt;times&gt;"},
		{"GET", "/", "LOCALHOST:8080", "", 200, `<a href="/json/count">`}, // a tunnel of ssh
		{"GET", "/", "[::1]:7950", "", 200, ""},
		{"GET", "/", "127.8.8.8", "", 200, ""},
		{"HEAD", "/", "", "", 200, ""},
		{"HEAD", "/live", "", "", 200, ""}, // has an end
		{"GET", "/json/count", "", "", 200, "1"},
		{"GET", "/json/none", "", "", 500, "there is none"},
		{"GET", "/count.svg", "", "", 200, "<svg/>"},
		{"GET", "/style.css", "", "", 200, "prefers-color-scheme: dark"},
		{"GET", "/script.js", "", "", 200, "new EventSource"},
		{"GET", "/icon.svg", "", "", 200, "<svg"},
		{"GET", "/page.html", "", "", 404, ""},
		{"GET", "/assets/page.html", "", "", 404, ""},
		{"GET", "/json/other", "", "", 404, ""},
		{"GET", "/..%2f..%2fetc/passwd", "", "", 404, ""},
		{"POST", "/", "", "", 405, "can only be read"},
		{"OPTIONS", "/live", "", "", 405, ""},
		{"GET", "/", "attacker.example", "", 403, "call this page http://127.0.0.1"},
		{"GET", "/live", "attacker.example:7950", "", 403, ""},
		{"GET", "/style.css", "127.0.0.1.attacker.example", "", 403, ""},
		{"GET", "/", "localhost.attacker.example", "", 403, ""},
		{"GET", "/", "0.0.0.0:7950", "", 403, ""},
		{"GET", "/", "192.168.1.10", "", 403, ""},
		{"GET", "/", "[fe80::1]", "", 403, ""},
		{"GET", "/json/count", "", "Sec-Fetch-Site: cross-site; Sec-Fetch-Mode: no-cors", 403, "not for other pages"},
		{"GET", "/live", "", "Sec-Fetch-Site: same-site; Sec-Fetch-Mode: cors", 403, ""}, // another port of this host
		{"GET", "/", "", "Sec-Fetch-Site: cross-site; Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: iframe", 403, ""},
		{"GET", "/", "", "Sec-Fetch-Site: cross-site; Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: document", 200, ""}, // a link
		{"GET", "/json/count", "", "Sec-Fetch-Site: same-origin; Sec-Fetch-Mode: cors", 200, ""},
		{"GET", "/", "", "Sec-Fetch-Site: none; Sec-Fetch-Mode: navigate", 200, ""},
	}
	for _, tt := range tests {
		name := fmt.Sprintf("%s %s, host %q, %s", tt.method, tt.path, tt.host, tt.header)
		request, err := http.NewRequest(tt.method, "http://"+addr+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = tt.host
		for _, field := range strings.Split(tt.header, "; ") {
			if key, value, ok := strings.Cut(field, ": "); ok {
				request.Header.Set(key, value)
			}
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != tt.code || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: %v, %s\n%s", name, err, response.Status, body)
		}
		policy := response.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") != (tt.path == "/count.svg") {
			t.Errorf("%s: policy %s", name, policy)
		}
		for key, value := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"} {
			if response.Header.Get(key) != value {
				t.Errorf("%s: %s is %q", name, key, response.Header.Get(key))
			}
		}
		if response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other pages may read it", name)
		}
	}
}

// openStream looks at a page live. The reader has what follows the headers.
func openStream(t *testing.T, addr string) (status string, body *bufio.Reader, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return response.Status, bufio.NewReader(response.Body), cancel
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// Each change reaches who looks on. When nobody does any more, nothing is read.
func TestStreamFollows(t *testing.T) {
	c := new(counter)
	addr := serve(t, Server{Parts: []Part{c.part(5 * time.Millisecond)}})
	if c.reads.Load() != 0 {
		t.Error("a page was read that nobody looks at")
	}
	_, body, leave := openStream(t, addr)
	var lines []string
	for len(lines) < 12 {
		line, err := body.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	text := strings.Join(lines, "")
	if !strings.HasPrefix(text, "retry: 1000\n\nevent: section\ndata: {\"html\":") || !strings.Contains(text, "read 2 ") || strings.Contains(text, "<times>") {
		t.Errorf("got\n%s", text)
	}
	leave()
	eventually(t, "the work ends", func() bool {
		before := c.reads.Load()
		time.Sleep(50 * time.Millisecond)
		return c.reads.Load() == before
	})
}

// A stream lives on when the time is over in which a request must have been read.
func TestStreamLives(t *testing.T) {
	const timeout = 50 * time.Millisecond
	addr := serve(t, Server{Parts: []Part{new(counter).part(10 * time.Millisecond)}, readTimeout: timeout})
	_, body, _ := openStream(t, addr)
	for began := time.Now(); time.Since(began) < 4*timeout; {
		if _, err := body.ReadString('\n'); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
}

// A slow part is neither read twice at once nor waited for by the page.
func TestSlowPart(t *testing.T) {
	slow, quick := &counter{hold: make(chan struct{})}, new(counter)
	other := quick.part(time.Hour)
	other.Sections[0].ID = "other"
	f := newFeed([]Part{slow.part(time.Hour), other})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range 3 { // people come and go
		leave := f.startReaders()
		f.awaitRead(ctx)
		leave()
	}
	leave := f.startReaders()
	defer leave()
	eventually(t, "the quick part is read", func() bool { return quick.reads.Load() == 1 })
	close(slow.hold)
	f.awaitRead(t.Context())
	if slow.most.Load() != 1 || slow.reads.Load() != 1 {
		t.Errorf("read %d times, %d at once", slow.reads.Load(), slow.most.Load())
	}
	if sections, _, _ := f.sectionsSince(0); len(sections) != 1 || !strings.Contains(sections[0].HTML, "read 1 ") {
		t.Errorf("got %v", sections)
	}
}

// Only so many pages are live. One that is closed makes room.
func TestStreamsAreBounded(t *testing.T) {
	addr := serve(t, Server{Parts: []Part{new(counter).part(time.Hour)}})
	var leave func()
	for range maxStreams {
		var status string
		if status, _, leave = openStream(t, addr); status != "200 OK" {
			t.Fatal(status)
		}
	}
	status, body, _ := openStream(t, addr)
	text, _ := body.ReadString('\n')
	if status != "503 Service Unavailable" || text != "too many pages are open; close one\n" {
		t.Errorf("got %s, %s", status, text)
	}
	leave()
	eventually(t, "there is room", func() bool {
		status, _, leave := openStream(t, addr)
		leave()
		return status == "200 OK"
	})
}

// A client that does not read is given up, and holds nobody up meanwhile.
func TestClientThatDoesNotReadIsGivenUp(t *testing.T) {
	var reads atomic.Int32
	large := strings.Repeat("x", 4<<20)
	part := Part{Every: 5 * time.Millisecond, Sections: []Section{{ID: "s"}}, Read: func() Content {
		return Content{Sections: []Section{{ID: "s", Lead: fmt.Sprint(reads.Add(1), large)}}}
	}}
	// Before it is given up something has to be written and read, and a busy machine takes 100 ms for that.
	addr := serve(t, Server{Parts: []Part{part}, writeTimeout: time.Second})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is read", func() bool { return reads.Load() > 2 })
	eventually(t, "the work ends", func() bool {
		before := reads.Load()
		time.Sleep(100 * time.Millisecond)
		return reads.Load() == before
	})
}

// A client that asks on and on, and never reads, is given up too if it only gets errors.
func TestClientThatReadsNoErrorsIsGivenUp(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n", "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		addr := serve(t, Server{Parts: []Part{new(counter).part(time.Hour)}, writeTimeout: 100 * time.Millisecond})
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		many := []byte(strings.Repeat(request, 1000))
		for err == nil {
			_, err = conn.Write(many)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: it keeps its connection", request)
		}
	}
}

// A flood of clients waits for connections, and a client that says nothing loses its own.
func TestConnectionsAreBounded(t *testing.T) {
	addr := serve(t, Server{Parts: []Part{new(counter).part(time.Hour)}})
	var all sync.WaitGroup
	var answered atomic.Int32
	for range 3 * maxConnections {
		all.Go(func() {
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + addr + "/json/count")
			if err == nil && response.StatusCode == http.StatusOK {
				answered.Add(1)
			}
			if err == nil {
				response.Body.Close()
			}
		})
	}
	all.Wait()
	if answered.Load() != 3*maxConnections {
		t.Errorf("%d of %d are answered", answered.Load(), 3*maxConnections)
	}
}

// The server ends although somebody looks on.
func TestServerEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := new(counter)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Server{Parts: []Part{c.part(5 * time.Millisecond)}}.Serve(ctx, l) }()
	_, body, _ := openStream(t, l.Addr().String())
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, body) // it ends, in order or not
	eventually(t, "the work ends", func() bool {
		before := c.reads.Load()
		time.Sleep(50 * time.Millisecond)
		return c.reads.Load() == before
	})
}
