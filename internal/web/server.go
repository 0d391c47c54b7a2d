package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"time"

	"golang.org/x/net/netutil"
)

// DefaultPort is where the page is if nobody says otherwise.
const DefaultPort = 7950

const (
	// maxConnections bounds what clients can hold. Others wait until one is closed.
	maxConnections = 64
	// maxStreams is how many pages are live at once. Others try again.
	maxStreams = 16
	// maxHeader is more than a browser sends.
	maxHeader = 16 << 10

	readTimeout = 5 * time.Second
	idleTimeout = 10 * time.Second
	// writeTimeout is for each write: a client that does not read for so long is given up.
	writeTimeout = 10 * time.Second
	// loadTimeout is how long a page waits for hosts that answer slowly. They follow when it is live.
	loadTimeout = 3 * time.Second
	// aliveInterval is how often a page is told that nothing has changed. It finds clients that are
	// gone.
	aliveInterval = 15 * time.Second
)

// Server serves one page.
type Server struct {
	Title string
	Parts []Part

	readTimeout, writeTimeout time.Duration // 0: the usual; tests are quicker
}

// Serve serves on a listener until ctx is done.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.handler(), MaxHeaderBytes: maxHeader,
		ReadTimeout: cmp.Or(s.readTimeout, readTimeout), IdleTimeout: idleTimeout,
		// That of errors. All else sets its own when there is something to write.
		WriteTimeout: cmp.Or(s.writeTimeout, writeTimeout),
		BaseContext:  func(net.Listener) context.Context { return ctx },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of clients that go away
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(netutil.LimitListener(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler knows the page, what it loads, and its files.
func (s Server) handler() http.Handler {
	p := pageServer{
		title: s.Title, feed: newFeed(s.Parts), streams: make(chan struct{}, maxStreams),
		writeTimeout: cmp.Or(s.writeTimeout, writeTimeout),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.servePage)
	mux.HandleFunc("GET /live", p.serveStream)
	mux.HandleFunc("GET /", p.serveFile)
	for name, kind := range map[string]string{"style.css": "text/css", "script.js": "text/javascript",
		"icon.svg": TypeSVG} {
		mux.HandleFunc("GET /"+name, p.asset(name, kind+"; charset=utf-8"))
	}
	return guarded(mux)
}

// asset serves a file that is in the program.
func (p pageServer) asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := fs.ReadFile(assets, path.Join("assets", name))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		p.write(w, kind, data)
	}
}

type pageServer struct {
	title        string
	feed         *feed
	streams      chan struct{} // has one value a stream
	writeTimeout time.Duration
}

// refresh makes sure that what is shown is not old. A host that answers slowly is not waited for.
func (p pageServer) refresh(ctx context.Context) {
	defer p.feed.startReaders()()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	p.feed.awaitRead(ctx)
}

func (p pageServer) servePage(w http.ResponseWriter, r *http.Request) {
	p.refresh(r.Context())
	var b bytes.Buffer
	if err := renderPage(&b, p.title, p.feed.allSections(), p.feed.paths()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.write(w, "text/html; charset=utf-8", b.Bytes())
}

func (p pageServer) serveFile(w http.ResponseWriter, r *http.Request) {
	p.refresh(r.Context())
	f, ok := p.feed.file(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	data, err := f.Data()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if f.Type == TypeSVG {
		w.Header().Set("Content-Security-Policy", picturePolicy)
	}
	p.write(w, f.Type, data)
}

// write sends a whole answer.
func (p pageServer) write(w http.ResponseWriter, kind string, data []byte) {
	w.Header().Set("Content-Type", kind)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(p.writeTimeout))
	_, _ = w.Write(data) // a client that has gone away needs nothing
}

// paths are those of the files that are no pictures.
func (f *feed) paths() (paths []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, file := range f.files {
		if file.Type != TypeSVG {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
