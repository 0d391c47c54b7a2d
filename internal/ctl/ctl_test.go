package ctl

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/capture"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

type fakeHost struct {
	ClusterHost

	err        error
	containers int // that need the agent
	findings   []diagnosis.Finding
	config     config.Config // of the agent
}

func (h fakeHost) CheckRoot() error { return nil }

func (h fakeHost) Reload() (int, error) { return 2, h.err }

func (h fakeHost) Diagnose(context.Context) doctor.Diagnosis {
	d := doctor.Diagnosis{Hosts: []string{"host-a"}, Networks: []string{"blue", "red"}, Checks: 24, Findings: h.findings}
	d.Level = diagnosis.Worst(d.Findings)
	return d
}

func (h fakeHost) DiagnoseHost(name string) (doctor.Diagnosis, error) {
	if name != "host-b" {
		return doctor.Diagnosis{}, errors.New("no host is called that")
	}
	return doctor.Diagnosis{Hosts: []string{"host-b"}, Networks: []string{"blue"}, Checks: 24}, nil
}

func (h fakeHost) DiagnoseAll(ctx context.Context) (doctor.Diagnosis, error) {
	b, _ := h.DiagnoseHost("host-b")
	return doctor.Join(h.Diagnose(ctx), b), h.err
}

func (h fakeHost) PlannedChanges() ([]string, error) {
	return []string{"ip link set br0 up\nip link set br0 mtu 1450"}, h.err
}

func (h fakeHost) UpgradeHost(context.Context) (doctor.UpgradeHost, error) {
	return doctor.UpgradeHost{Podman: "5.4.2", Netavark: "1.14.1", Cgroups: "v2", Open: []string{"blue"}}, h.err
}

func (h fakeHost) ContainersWithAgent() (int, error) { return h.containers, nil }

func (h fakeHost) AgentConfig() (config.Config, error) {
	c := h.config
	c.Port = cmp.Or(c.Port, 7947)
	return c, nil
}

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

func (h fakeHost) WriteMetrics(out io.Writer) error {
	_, _ = io.WriteString(out, "vxlan_build_info 1\n")
	return h.err
}

func (h fakeHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }

func (h fakeHost) Hosts() ([]agentapi.HostStatus, error) {
	return []agentapi.HostStatus{
		{Name: "host-a", HostName: "host-a", Self: true, ID: "a"},
		{Name: "host-x (198.18.0.9)", HostName: "host-x", ID: "x9", Addr: netip.MustParseAddr("198.18.0.9")},
	}, h.err
}

func (h fakeHost) OwnAddress([]netip.Addr) (netip.Addr, error) {
	return netip.MustParseAddr("198.18.0.1"), nil
}

func (h fakeHost) MTU(netip.Addr) (int, error) { return 1500, nil }

func (h fakeHost) Status() (agentapi.StatusReport, error) {
	return agentapi.StatusReport{
		Version: "0", Keys: "1a2b3c4d encrypts", Problem: "boom",
		Outdated: []string{"old"}, Warnings: []string{"careful"}, Conflicts: []string{"two have one"},
		Differences: []string{"not alike"}, BlockingChains: []string{"chain f drops"},
		Networks: []agentapi.NetworkStatus{{Name: "blue", VNI: 7, Local: 1, Remote: 3, Members: 2, Reachable: 1, VTEP: netip.MustParseAddr("198.18.0.10"), Interface: "eth0", MTU: 1450, Tunnels: []agentapi.TunnelStatus{
			{Host: "c", Port: 4789, Size: 1450, Heard: true}, {Host: "d", Port: 4789, Size: 1450},
			{Host: "b", Port: 4789, Size: 1450, Passing: 1402, Heard: true},
		}}},
		Clusters: []agentapi.ClusterStatus{{
			Name: "198.18.0.1", Stale: 90 * time.Second, Hosts: []agentapi.HostStatus{
				{
					Name: "b", HostName: "host-b", Addr: netip.MustParseAddr("198.18.0.2"), Reachable: true,
					Paths: []agentapi.PathStatus{{FullSize: 1450, MTU: 1402, Measured: time.Second, Full: agentapi.FrameCount{Sent: 2}, Small: agentapi.FrameCount{Sent: 2, Answered: 2}}},
				},
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
		{"cleanup", []string{"cleanup"}, nil, "", ""},
		{"cleanup refused", []string{"cleanup"}, errors.New("in use"), "", "cleanup: in use"},
		{"cleanup forced", []string{"cleanup", "--force"}, errors.New("in use"), "Podman still has these VXLAN networks: blue red; remove them with \"podman network rm\"\n", ""},
		{"agent that does not answer", []string{"status"}, errors.New("ask vxland: timeout"), "", "status: ask vxland: timeout"},
		{"hosts", []string{"host", "ls"}, nil, "HOST    ADDRESS     STATE        SINCE  NETWORKS  CONTAINERS  RTT  LOSS  PATH MTU\nhost-b  198.18.0.2  reachable    -      -         0           -    0%    1402\nhost-c  198.18.0.3  unreachable  1h30m  -         0           -    -     -\n", ""},
		{"no agent", []string{"host", "ls", "--noheading"}, agentapi.ErrNotRunning, "-     198.18.0.2  unknown  -      blue      0           -    -     -\n# " + aloneNote + "\n", ""},
		{"forget", []string{"host", "forget", "b"}, nil, "host b.198.18.0.2 is forgotten; its addresses are free\n", ""},
		{"forget refused", []string{"host", "forget", "b"}, errors.New("vxland: forget host: it answers"), "", "vxland: forget host: it answers"},
		{"forget whom", []string{"host", "forget"}, nil, "", "type the name or the address of one host"},
		{"completion", []string{"__complete", "host", "forget", ""}, nil, "198.18.0.3\nhost-c\n:4\n", ""},
		{"capture nothing", []string{"capture"}, nil, "", "an argument is missing"},
		{"flags of capture behind the network", []string{"capture", "mynet", "-c", "-1", "tcp"}, nil, "", "capture: --count -1: must not be negative"},
		{"capture of no network", []string{"capture", "mynet", "--", "-n"}, errors.New("no network"), "", "capture: no network"},
		{"drops of no network", []string{"drops", "-f", "mynet"}, errors.New("no network"), "", "drops: no network"},
		{"arguments", []string{"reload", "x"}, nil, "", `reload: the argument "x" is one too many`},
		{"dry run", []string{"reload", "--dry-run"}, nil, "ip link set br0 up\nip link set br0 mtu 1450\n", ""},
		{"typo", []string{"relaod"}, nil, "", `unknown command "relaod" for "vxlanctl"; did you mean reload?`},
		{"drops", []string{"drops"}, nil, "REASON  PACKETS  BYTES  RULE  CHAIN\n# no rule of this driver has dropped anything since the rules were set\n", ""},
		{"metrics", []string{"metrics"}, nil, "vxlan_build_info 1\n", ""},
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

// userHost is a host on which the user is not root.
type userHost struct{ fakeHost }

func (userHost) CheckRoot() error { return fs.ErrPermission }

// What changes the host is refused to others than root, and changes nothing.
func TestRootOnly(t *testing.T) {
	all := leafCommands(Command(fakeHost{}, "1", io.Discard))
	for _, path := range rootOnly {
		if !slices.Contains(all, "vxlanctl "+path) {
			t.Errorf("there is no command %s", path)
		}
		args := strings.Fields(path)
		switch {
		case strings.HasPrefix(path, "network peer"):
			args = append(args, "blue", "198.18.0.7")
		case path == "network move":
			args = append(args, "blue", "etcd")
		case strings.HasPrefix(path, "network"):
			args = append(args, "blue", "mtu=1400")
		}
		out, err := run(userHost{fakeHost{err: errors.New("it was changed")}}, args...)
		if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), path+": ") || out != "" {
			t.Errorf("%s: %v, printed %q", path, err, out)
		}
	}
}
