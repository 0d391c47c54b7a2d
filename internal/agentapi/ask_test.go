package agentapi

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// serve runs a server at a path until the test ends.
func serve(t *testing.T, handle func(context.Context, Request) Response) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- Serve(ctx, l, noShortage(t), handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path
}

// All hosts are asked, only so many at once, and each answer or error stands with its host.
func TestAskAll(t *testing.T) {
	const count = 3 * maxAskedAtOnce
	var mu sync.Mutex
	atOnce, most := 0, 0
	full := make(chan struct{}) // as many are asked as may be
	path := serve(t, func(_ context.Context, r Request) Response {
		if r.Verb == VerbHosts {
			var hosts []HostStatus
			for i := range count {
				hosts = append(hosts, HostStatus{ID: fmt.Sprint(i), Name: fmt.Sprint("host-", i), Reachable: i != 7})
			}
			return Response{Hosts: hosts}
		}
		if r.Verb != VerbAsk || r.Asked == nil || r.Asked.Verb != VerbStatus {
			t.Errorf("got %+v", r)
		}
		mu.Lock()
		if atOnce++; atOnce == maxAskedAtOnce && most < maxAskedAtOnce {
			close(full)
		}
		most = max(most, atOnce)
		mu.Unlock()
		<-full
		mu.Lock()
		atOnce--
		mu.Unlock()
		switch r.Host {
		case "8":
			return Response{Error: "host host-8 has not answered"}
		case "9":
			return Response{Host: "host-9", Answer: json.RawMessage(`{"error": "no"}`)}
		case "10":
			return Response{Host: "host-10", Answer: json.RawMessage(`7`)}
		}
		return Response{Host: "host-" + r.Host, Answer: json.RawMessage(`{"status": {"version": "v` + r.Host + `", "of a later version": 1}}`)}
	})
	answers, err := AskAll(path, Request{Verb: VerbStatus})
	if err != nil || len(answers) != count || most != maxAskedAtOnce {
		t.Fatalf("%d answers, %v; %d at once", len(answers), err, most)
	}
	failures := map[int]string{
		7: "host host-7 is unreachable", 8: "vxland: host host-8 has not answered", 9: "vxland: no", 10: "read the answer of host host-10: json",
	}
	for i, a := range answers {
		if want, fails := failures[i]; fails {
			if a.Err == nil || !strings.HasPrefix(a.Err.Error(), want) {
				t.Errorf("host %d: got %v, want %s", i, a.Err, want)
			}
			continue
		}
		if a.Err != nil || a.Host.ID != fmt.Sprint(i) || a.Response.Status.Version != fmt.Sprint("v", i) {
			t.Errorf("host %d: got %+v", i, a)
		}
	}
}

// What other hosts may ask is what is listed here: nothing that changes this host, or tells secrets.
func TestVerbsForHosts(t *testing.T) {
	for _, v := range []Verb{
		VerbSync, VerbStoreChanged, VerbAssignAddresses, VerbRestart, VerbJoining, VerbForgetHost, VerbHosts, VerbAsk, VerbWait, VerbExamine, "", "other",
	} {
		if v.AllowedFromHosts() {
			t.Errorf("hosts may ask %q", v)
		}
	}
	for _, v := range []Verb{VerbStatus, VerbEvents, VerbDiagnose} {
		if !v.AllowedFromHosts() {
			t.Errorf("hosts may not ask %q", v)
		}
	}
}

// In a large cluster hosts are asked for brief reports.
func TestManyHostsAreAskedForBriefReports(t *testing.T) {
	for count, want := range map[int]bool{manyHosts: false, manyHosts + 1: true} {
		var mu sync.Mutex
		asked := make(map[bool]int)
		path := serve(t, func(_ context.Context, r Request) Response {
			if r.Verb == VerbHosts {
				hosts := make([]HostStatus, count)
				for i := range hosts {
					hosts[i] = HostStatus{ID: fmt.Sprint(i), Reachable: true}
				}
				return Response{Hosts: hosts}
			}
			mu.Lock()
			defer mu.Unlock()
			asked[r.Asked.Verb == VerbStatus && r.Asked.Brief]++
			return Response{Answer: json.RawMessage(`{}`)}
		})
		if answers, err := StatusOfAll(path); err != nil || len(answers) != count || asked[want] != count {
			t.Errorf("%d hosts: %d answers, asked %v, %v", count, len(answers), asked, err)
		}
	}
}
