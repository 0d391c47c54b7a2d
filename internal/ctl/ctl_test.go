package ctl

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/capture"
	"vxlan-driver/internal/diagnosis"
)

type fakeHost struct {
	ClusterHost

	err        error
	containers int // that need the agent
}

func (h fakeHost) Reload() (int, error) { return 2, h.err }

func (h fakeHost) ContainersWithAgent() (int, error) { return h.containers, nil }

func (h fakeHost) Cleanup(force bool) ([]string, error) {
	if !force {
		return nil, h.err
	}
	return []string{"blue", "red"}, nil
}

func (h fakeHost) CaptureConfig(string) (capture.Config, error) { return capture.Config{}, h.err }

func (h fakeHost) TracedNetworks(string) ([]TracedNetwork, error) { return nil, h.err }

func (h fakeHost) ForgetHost(name string) (host, warning string, err error) {
	return name + ".198.18.0.2", "careful", h.err
}

func (h fakeHost) Status() (agentapi.StatusReport, error) {
	return agentapi.StatusReport{
		Version: "0", Keys: "1a2b3c4d encrypts", Problem: "boom",
		Outdated: []string{"old"}, Warnings: []string{"careful"}, Conflicts: []string{"two have one"},
		Differences: []string{"not alike"}, BlockingChains: []string{"chain f drops"},
		Networks: []agentapi.NetworkStatus{{Name: "blue", VNI: 7, Local: 1, Remote: 3, Members: 2, Underlay: "from 198.18.0.10 by eth0, MTU 1450", Tunnels: []agentapi.TunnelStatus{
			{Host: "c", Port: 4789, Size: 1450, Heard: true}, {Host: "d", Port: 4789, Size: 1450},
			{Host: "b", Port: 4789, Size: 1450, Passing: 1402, Heard: true},
		}}},
		Clusters: []agentapi.ClusterStatus{{
			Name: "198.18.0.1", Stale: 90 * time.Second, Hosts: []agentapi.HostStatus{
				{Name: "b", HostName: "host-b", Addr: netip.MustParseAddr("198.18.0.2"), Reachable: true},
				{Name: "c", HostName: "host-c", Addr: netip.MustParseAddr("198.18.0.3"), UnreachableFor: 90 * time.Minute},
			},
			Refused: []agentapi.RefusalStatus{
				{Reason: "host does not answer", Count: 9, OfOtherHost: true, Silent: true, Hosts: []agentapi.RefusedHost{
					{Addr: netip.MustParseAddr("198.18.0.3")}, {Addr: netip.MustParseAddr("198.18.0.4")},
				}},
				{Reason: "host does not list this one", Count: 3, OfOtherHost: true, Hosts: []agentapi.RefusedHost{
					{Addr: netip.MustParseAddr("198.18.0.2"), Count: 3, Since: 59*time.Second + 600*time.Millisecond, Last: time.Millisecond},
				}},
				{Reason: "malformed message", Count: 1},
				{Reason: "wrong key", Count: 7, Hosts: []agentapi.RefusedHost{
					{Addr: netip.MustParseAddr("198.18.0.9"), Count: 7, Since: 200 * time.Second, Last: 2 * time.Second},
				}},
			},
		}},
	}, h.err
}

const wantStatus = `vxland 0
problem: boom
outdated: old; run ` + "`vxlanctl reload`" + `
warning: careful
conflict: two have one
difference: not alike
firewall: chain f drops
network blue: VNI 7, 1 containers here, 3 on 2 other hosts
  sends from 198.18.0.10 by eth0, MTU 1450
  VXLAN to b: 1450 bytes lost, 1402 pass; raise the underlay's MTU, or recreate the network with --opt mtu=1402
  VXLAN to c lost, UDP 4789; its packets arrive here: open the port there and on the way
  VXLAN to d lost, UDP 4789; its packets do not arrive here: open the port on both hosts and on the way
key 1a2b3c4d encrypts
cluster of 198.18.0.1: no contact to any other host for 1m30s
  host b: reachable
  host c: unreachable; its entries are hidden
    what to do: ` + "`vxlanctl host forget HOST`" + ` frees the addresses of one that is gone for good
  no agent yet: 198.18.0.3, 198.18.0.4; it starts with that host's first container
  host does not list this one:
    198.18.0.2: 3 in 1m0s, the last one 1s ago
    what to do: add this host to remote_ips there, or give all hosts the same key_file
  refused, malformed message: 1
  refused, wrong key: 7
    198.18.0.9: 7 in 3m20s, the last one 2s ago
    what to do: copy one key_file to all hosts
`

func TestCommands(t *testing.T) {
	tests := []struct {
		name string
		args []string
		err  error
		want string
		fail string
	}{
		{"works", []string{"reload"}, nil, "reloaded 2 networks\n", ""},
		{"fails", []string{"reload"}, errors.New("boom"), "", "reload: boom"},
		{"status", []string{"status"}, nil, wantStatus, ""},
		{"no agent", []string{"status"}, agentapi.ErrNotRunning, "vxland does not run; it starts with the first container of a network with names or discovery=gossip\nwithout it, networks follow a change of the underlay when you run `vxlanctl reload`, or enable vxland.service\n", ""},
		{"cleanup", []string{"cleanup"}, nil, "", ""},
		{"cleanup refused", []string{"cleanup"}, errors.New("in use"), "", "cleanup: in use"},
		{"cleanup forced", []string{"cleanup", "--force"}, errors.New("in use"), "Podman still has these VXLAN networks: blue red; remove them with \"podman network rm\"\n", ""},
		{"agent that does not answer", []string{"status"}, errors.New("ask vxland: timeout"), "", "status: ask vxland: timeout"},
		{"hosts", []string{"host", "ls"}, nil, "HOST    ADDRESS     STATE\nhost-b  198.18.0.2  reachable\nhost-c  198.18.0.3  unreachable for 1h30m0s\n", ""},
		{"no hosts", []string{"host", "ls"}, agentapi.ErrNotRunning, "", "list hosts: vxland does not run"},
		{"forget", []string{"host", "forget", "b"}, nil, "host b.198.18.0.2 is forgotten; its addresses are free\n", ""},
		{"forget refused", []string{"host", "forget", "b"}, errors.New("vxland: forget host: it answers"), "", "vxland: forget host: it answers"},
		{"forget whom", []string{"host", "forget"}, nil, "", "type the name or the address of one host"},
		{"completion", []string{"__complete", "host", "forget", ""}, nil, "198.18.0.3\nhost-c\n:4\n", ""},
		{"capture nothing", []string{"capture"}, nil, "", "requires at least 1 arg"},
		{"capture of no network", []string{"capture", "mynet", "-n"}, errors.New("no network"), "", "capture: no network"},
		{"drops of no network", []string{"drops", "mynet"}, errors.New("no network"), "", "drops: no network"},
		{"arguments", []string{"reload", "x"}, nil, "", `unknown command "x"`},
		{"typo", []string{"relaod"}, nil, "", `unknown command "relaod" for "vxlanctl"; did you mean reload?`},
		{"code", []string{"explain", "vx0706", "--format", "{{.Title}}"}, nil, "contact to all other hosts is lost\n", ""},
		{"unknown code", []string{"explain", "VX9999"}, nil, "", `no code "VX9999"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := Command(fakeHost{err: tt.err}, "1", &out)
			c.SetArgs(tt.args)
			err := c.Execute()
			if out.String() != tt.want {
				t.Errorf("printed %q", out.String())
			}
			if (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("got %v, want %s", err, tt.fail)
			}
		})
	}
}

// An agent that was killed stays away, and somebody may miss it.
func TestStatusSaysWhoNeedsTheAgent(t *testing.T) {
	var out bytes.Buffer
	c := Command(fakeHost{err: agentapi.ErrNotRunning, containers: 3}, "1", &out)
	c.SetArgs([]string{"status"})
	if err := c.Execute(); err != nil || out.String() != "vxland does not run, but 3 containers need it: run `vxlanctl reload`, which starts it\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		args string
		err  error
		want int
	}{
		{"reload", nil, 0},
		{"reload", errors.New("boom"), 1},
		{"reload x", nil, 2},
		{"reload --colour", nil, 2},
		{"relaod", nil, 2},
		{"host forget", nil, 2},
		{"host lost", nil, 2},
		{"host ls --filter colour=red", nil, 2},
		{"explain VX9999", nil, 2},
		{"explain VX0301", nil, 0},
	}
	for _, tt := range tests {
		c := Command(fakeHost{err: tt.err}, "1", io.Discard)
		c.SetErr(io.Discard)
		c.SetArgs(strings.Fields(tt.args))
		if err := c.Execute(); ExitCode(err) != tt.want {
			t.Errorf("%s: %v is %d, want %d", tt.args, err, ExitCode(err), tt.want)
		}
	}
	if err := levelError(diagnosis.Unknown); ExitCode(err) != 3 || !IsPrinted(err) {
		t.Errorf("unknown is %d", ExitCode(err))
	}
}
