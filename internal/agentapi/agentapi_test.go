package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCallReturnsResponse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() {
		served <- Serve(ctx, l, noShortage(t), func(_ context.Context, r Request) Response {
			if r.Verb == VerbStatus {
				return Response{Status: &StatusReport{Version: "1"}}
			}
			return Response{Error: "no"}
		})
	}()
	deadline := time.Now().Add(5 * time.Second)
	if r, err := Call(path, Request{Verb: VerbStatus}, deadline); err != nil || r.Status == nil || r.Status.Version != "1" {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := Call(path, Request{Verb: VerbSync}, deadline); err == nil || err.Error() != "vxland: no" {
		t.Errorf("got %v", err)
	}
	conn, err := dialAgent(path, deadline)
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
	if _, err := Call(path, Request{Verb: VerbSync}, deadline); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// A container that starts while the agent shuts down needs the next agent, not an answer of this
// one.
func TestAgentShuttingDownCountsAsNotRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() {
		served <- Serve(ctx, l, noShortage(t), func(ctx context.Context, _ Request) Response {
			cancel()
			<-ctx.Done()
			return Response{Error: "it is about to end"}
		})
	}()
	if _, err := Call(path, Request{Verb: VerbSync}, time.Now().Add(5*time.Second)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// FuzzRequest: whatever a client sends, it gets a response of one line.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"verb":"assign","assign":{"network":"n","wanted":["10.0.0.1","fd00::1%eth0",""]}}`, `{"assign":{"wanted":[1]}}`, `{"verb":"sync"}`, `{"verb":"status","more":[1]}`, `{]`, `[]`, `null`, ``, `{"verb":7}`, strings.Repeat("[", maxRequest), strings.Repeat(" ", maxRequest-2) + "{}"} {
		f.Add([]byte(seed))
		f.Add([]byte(seed + "\n"))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Write(append(sent, '\n')) // it may not be read to its end
		}()
		go serveConn(t.Context(), ours, func(_ context.Context, r Request) Response {
			switch r.Verb {
			case VerbSync, VerbStatus:
				return Response{}
			}
			return Response{Error: "unknown request"}
		})
		_ = theirs.SetDeadline(time.Now().Add(5 * time.Second))
		line, err := io.ReadAll(theirs)
		if err != nil {
			t.Fatal(err)
		}
		var r Response
		if err := json.Unmarshal(line, &r); err != nil || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q is answered with %q: %v", sent, line, err)
		}
		first, _, _ := bytes.Cut(sent, []byte("\n"))
		if r.Error == "" && !json.Valid(first) {
			t.Errorf("%q was done", sent)
		}
	})
}

// A killed agent leaves its socket; the next one takes its place.
func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Call(path, Request{Verb: VerbSync}, time.Now().Add(time.Second)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	again, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestAddressesPassUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	want := AssignRequest{
		Network: "n1", Container: "c1",
		Wanted: []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.8")},
	}
	served := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		served <- Serve(ctx, l, noShortage(t), func(_ context.Context, r Request) Response {
			if r.Verb != VerbAssignAddresses || r.Assign == nil || !reflect.DeepEqual(*r.Assign, want) {
				return Response{Error: fmt.Sprintf("got %+v", r)}
			}
			return Response{Addrs: r.Assign.Wanted}
		})
	}()
	r, err := Call(path, Request{Verb: VerbAssignAddresses, Assign: &want}, time.Now().Add(5*time.Second))
	if err != nil || !slices.Equal(r.Addrs, want.Wanted) {
		t.Errorf("got %+v, %v", r, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What the agent warns of reaches whoever starts a container.
func TestClientPassesWarningsOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		served <- Serve(ctx, l, noShortage(t), func(_ context.Context, r Request) Response {
			if r.Container == "c2" {
				return Response{Announces: true}
			}
			return Response{Announces: true, Warning: "the MTU differs"}
		})
	}()
	var warnings []string
	c := Client{Socket: path, Warn: func(message string) { warnings = append(warnings, message) }}
	for _, container := range []string{"c1", "c2"} {
		if announces, err := c.EndpointAdded("n1", container); err != nil || !announces {
			t.Error(announces, err)
		}
	}
	if !slices.Equal(warnings, []string{"the MTU differs"}) {
		t.Errorf("warned %q", warnings)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// noShortage fails the test if accept fails.
func noShortage(t *testing.T) func(error) {
	return func(err error) { t.Errorf("accept: %v", err) }
}
