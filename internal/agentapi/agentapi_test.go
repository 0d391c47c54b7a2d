package agentapi

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCallIsAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() {
		served <- Serve(ctx, l, func(_ context.Context, r Request) Response {
			if r.Verb == Status {
				return Response{Status: &Report{Version: "1"}}
			}
			return Response{Error: "no"}
		})
	}()
	deadline := time.Now().Add(5 * time.Second)
	if r, err := Call(path, Request{Verb: Status}, deadline); err != nil || r.Status == nil || r.Status.Version != "1" {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := Call(path, Request{Verb: Sync}, deadline); err == nil || err.Error() != "vxland: no" {
		t.Errorf("got %v", err)
	}
	conn, err := dial(path, deadline)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	if _, err := conn.Write([]byte("{]\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "read request") {
		t.Errorf("got %s, %v", buf[:n], err)
	}
	conn.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := Call(path, Request{Verb: Sync}, deadline); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// A killed agent leaves its socket; the next one takes its place.
func TestListenReplacesWhatWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Call(path, Request{Verb: Sync}, time.Now().Add(time.Second)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	again, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
