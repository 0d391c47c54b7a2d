package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vxlan-driver/internal/agentapi"
)

const (
	// retryInterval is how soon an address is tried again that cannot be listened on: another
	// program has it, or an interface comes later.
	retryInterval = 10 * time.Second
	// socketMode lets root read the metrics. They tell the names and addresses of hosts.
	socketMode = 0o600
	// maxRequests is how many are answered at once. Others are told to come again.
	maxRequests = 4

	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	maxHeader    = 16 << 10
)

// Server serves metrics.
type Server struct {
	Network, Address string // as of package net: "tcp" or "unix"
	Log              *slog.Logger

	pause time.Duration // before another try; 0: retryInterval
}

// Serve serves metrics of reports until ctx is done. While it cannot listen it tries again, and logs
// that once.
func (s Server) Serve(ctx context.Context, report func() agentapi.StatusReport) {
	lastErr := ""
	for ctx.Err() == nil {
		l, err := s.listen(ctx)
		if err == nil {
			s.Log.Info("serving metrics", "address", s.Address)
			lastErr, err = "", serveOn(ctx, l, report)
		}
		if ctx.Err() != nil {
			return
		}
		if err.Error() != lastErr {
			lastErr = err.Error()
			s.Log.Error("cannot serve metrics; the agent goes on without and tries again", "err", err)
		}
		select {
		case <-time.After(cmp.Or(s.pause, retryInterval)):
		case <-ctx.Done():
		}
	}
}

// listen takes the place of a socket on which nobody listens any more.
func (s Server) listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, s.Network, s.Address)
	if s.Network != "unix" {
		return l, explainTaken(err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(s.Address); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", s.Address, err)
		}
		l, err = new(net.ListenConfig).Listen(ctx, s.Network, s.Address)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(s.Address, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// explainTaken says what to do about an address that another program listens on.
func explainTaken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; `ss -lntp` shows by whom; set another address as metrics in vxland.toml", err)
	}
	return err
}

// removeStale removes a socket of a program that has ended. It leaves any other file.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("the file is there and is no socket; remove it, or set another path as metrics in vxland.toml")
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return errors.New("another program listens there; set another path as metrics in vxland.toml")
	}
	return os.Remove(path)
}

// serveOn serves until ctx is done or the listener fails.
func serveOn(ctx context.Context, l net.Listener, report func() agentapi.StatusReport) error {
	server := &http.Server{
		Handler: newHandler(report), MaxHeaderBytes: maxHeader,
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of clients that go away
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	return server.Serve(l)
}

// newHandler answers requests for /metrics.
func newHandler(report func() agentapi.StatusReport) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{report})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxRequests, ErrorHandling: promhttp.HTTPErrorOnError,
	}))
	return mux
}
