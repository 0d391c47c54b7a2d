package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"vxlan-driver/bench/report"
)

// Environment describes the machine and the programs, without which no figure means anything.
func (s *Suite) Environment(ctx context.Context) (report.Table, error) {
	l, err := s.startLab(ctx, "", 1)
	if err != nil {
		return report.Table{}, err
	}
	defer l.Close()
	inHost := func(script string) string {
		out, err := l.Hosts()[0].Sh(ctx, script)
		if err != nil {
			return "unknown: " + err.Error()
		}
		return out
	}
	return report.Table{
		Head: []string{"", ""},
		Rows: [][]string{
			{"date", time.Now().Format(time.DateOnly)},
			{"commit", s.commit(ctx)},
			{"kernel", firstLine("/proc/sys/kernel/osrelease")},
			{"CPU", fmt.Sprintf("%s, %d cores", cpuModel(), runtime.NumCPU())},
			{"load before", firstLine("/proc/loadavg")},
			{"Go", runtime.Version()},
			{"Podman", inHost("podman --version")},
			{"netavark", inHost("PATH=$PATH:/usr/lib/podman:/usr/libexec/podman netavark --version")},
			{"bridge-nf-call-iptables", inHost("cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || " +
				"echo 'no br_netfilter'")},
		},
	}, nil
}

func (s *Suite) commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "-C", s.Module, "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func firstLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
