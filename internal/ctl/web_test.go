package ctl

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/web"
)

// get reads what a page has.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What the page shows is what commands print.
func TestPageServesWhatCommandsPrint(t *testing.T) {
	host := newPageHost()
	url, _ := servePage(t, "127.0.0.1:0", host)
	for path, args := range map[string]string{
		"json/status": "status --format json", "json/hosts": "status --all --format json", "json/mesh": "mesh --format json",
		"json/topology": "topology --format json", "json/events": "events --format json", "topology.svg": "topology --format svg",
	} {
		want, err := run(host, strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, url+path); got != want {
			t.Errorf("%s is not what vxlanctl %s prints:\n%s", path, args, got)
		}
	}
	host.change(func() { host.err = agentapi.ErrNotRunning })
	for path, want := range map[string]string{
		"json/mesh": "vxland does not run\n", "json/hosts": "vxland does not run\n", "json/status": `"running": false`, "topology.svg": "host-a",
	} {
		eventuallyGets(t, url+path, want)
	}
}

func eventuallyGets(t *testing.T, url, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := get(t, url)
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is\n%s", url, got)
		}
	}
}

// largeHost has more of everything than a screen takes.
type largeHost struct {
	*pageHost
	asked bool
}

func (h *largeHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	h.asked = true
	return nil, nil
}

func (h *largeHost) Inventory() (agentapi.Inventory, bool, error) {
	n := agentapi.NetworkInventory{Name: "blue"}
	for i := range maxWebRows + 1 {
		n.Hosts = append(n.Hosts, agentapi.MemberInventory{Name: fmt.Sprint("host-", i), Self: i == 0})
	}
	return agentapi.Inventory{Networks: []agentapi.NetworkInventory{n}}, false, nil
}

// A large cluster is neither asked all the time, nor drawn.
func TestPageOfLargeCluster(t *testing.T) {
	host := &largeHost{pageHost: newPageHost()}
	host.report.Clusters = []agentapi.ClusterStatus{{}}
	for i := range maxWebRows + 7 {
		host.report.Clusters[0].Hosts = append(host.report.Clusters[0].Hosts, agentapi.HostStatus{HostName: fmt.Sprint("peer-", i), Reachable: i != maxWebRows+6})
	}
	url, _ := servePage(t, "127.0.0.1:0", host)
	page := get(t, url)
	for _, want := range []string{
		"and 7 more: vxlanctl host ls", "more than 100 hosts are too many", "201 boxes are too many for a screen", fmt.Sprintf("<th scope=\"row\">peer-%d</th>", maxWebRows+6),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if host.asked || strings.Count(page, `<th scope="row">peer-`) != maxWebRows {
		t.Errorf("asked all hosts: %v; %d rows", host.asked, strings.Count(page, `<th scope="row">peer-`))
	}
}

// Where many hosts cannot be asked, a direction with a fault is still shown, and counts.
func TestPageShowsWorstDirectionsFirst(t *testing.T) {
	var rows []meshRow
	for range maxWebRows {
		rows = append(rows, meshRow{From: "host-c", To: "host-d", State: meshUnknown})
	}
	for _, tt := range []struct {
		last string
		want string // the level of all, and of the first row
	}{{meshLost, "failure"}, {meshLossy, "warning"}, {meshOK, "unknown"}} {
		var s web.Section
		fillMesh(&s, output.Listing[meshRow]{Columns: meshColumns, Rows: append(slices.Clone(rows), meshRow{From: "host-a", To: "host-b", State: tt.last})})
		if s.Level != tt.want || s.Table.Rows[0].Level != tt.want || len(s.Table.Rows) != maxWebRows {
			t.Errorf("%s: all are %s, the first of %d is %s", tt.last, s.Level, len(s.Table.Rows), s.Table.Rows[0].Level)
		}
	}
}

// forbiddenHost has an agent that this user may not ask.
type forbiddenHost struct{ fakeHost }

func (forbiddenHost) Status() (agentapi.StatusReport, error) {
	return agentapi.StatusReport{}, &fs.PathError{Op: "dial", Path: agentapi.SocketPath, Err: syscall.EACCES}
}

func TestWebSaysWhyItDoesNotServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		host Host
		args string
		code int
		want string // the level of all, and of the first row
	}{
		{fakeHost{}, "--listen 0.0.0.0:7950", 2, "--listen 0.0.0.0:7950: must be a loopback address"},
		{fakeHost{}, "--listen localhost", 2, "must be an address with a port"},
		{fakeHost{}, "x", 2, "is one too many"},
		{fakeHost{}, "--listen " + l.Addr().String(), 1, "choose another port with --listen"},
		{forbiddenHost{}, "--listen 127.0.0.1:0", 1, "web: dial " + agentapi.SocketPath + ": permission denied"},
	} {
		out, err := run(tt.host, append([]string{"web"}, strings.Fields(tt.args)...)...)
		if ExitCode(err) != tt.code || err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
			t.Errorf("%s: ends with %d, %v\n%s", tt.args, ExitCode(err), err, out)
		}
	}
}

// An interrupt is the way to end it, and no error. What it prints has the address.
func TestWebEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	c := Command(newPageHost(), "1", in)
	c.SetArgs([]string{"web", "--listen", "127.0.0.1:0"})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	var url string
	if _, err := fmt.Fscanf(out, "the page is %s", &url); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if page := get(t, url); !strings.Contains(page, "<title>VXLAN networks of host-a</title>") {
		t.Errorf("%s has\n%s", url, page)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
