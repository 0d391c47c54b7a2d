package survey

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
)

// agent finds out how the agent is. One that was stopped would keep everybody waiting.
func (c *collector) agent(networks []hoststate.Network) {
	a := &c.Agent
	settings, err := config.FilesAt(config.Path).LoadSettings()
	if err != nil {
		settings, _ = config.ParseSettings("") // the agent's program says what is wrong
	}
	a.Port, a.Kept = settings.Port, settings.KeepRunning
	for _, n := range networks {
		if n.NeedsAgent() {
			a.Needed += len(n.Endpoints)
		}
		a.Port = cmp.Or(n.VTEP.AgentPort, a.Port)
	}
	a.Binary = c.on.Binary()
	if a.Binary == "" || unix.Access(a.Binary, unix.X_OK) != nil {
		a.Binary, a.Obstacle = findProgram(agentapi.BinaryPaths)
	}
	if a.Binary != "" {
		why, err := checkConfig(c.ctx, a.Binary)
		if a.BadConfig = why; err != nil {
			a.Binary, a.Obstacle = "", doctor.Obstacle{Path: a.Binary, Why: err.Error(), Mend: doctor.InstallAgain}
		}
	}
	if a.BadConfig != "" {
		a.BadLines = config.FilesAt(config.Path).LinesToDisable()
	}
	pids := agentProcesses()
	a.Running = len(pids) > 0
	a.PIDs = slices.Sorted(maps.Keys(pids))
	for _, pid := range a.PIDs {
		if pids[pid] {
			a.Stopped = append(a.Stopped, pid)
		}
		a.Frozen = cmp.Or(a.Frozen, freezerOf(pid))
	}
	if len(a.Stopped) > 0 || a.Frozen != "" {
		return // it does not answer
	}
	report, err := c.on.Examine(c.ctx)
	if err == nil && hasDrifted(report) { // it repairs that in a moment
		sleep(c.ctx, repairTime)
		report, err = c.on.Examine(c.ctx)
	}
	switch {
	case err == nil:
		a.Report, a.Running = &report, true
	case errors.Is(err, agentapi.ErrNotRunning):
		a.Running = false
	default:
		a.Err = err.Error()
	}
}

// hasDrifted tells whether forwarding entries are not what other hosts' news ask for.
func hasDrifted(r agentapi.StatusReport) bool {
	return slices.ContainsFunc(r.Networks, func(n agentapi.NetworkStatus) bool { return n.Drifted != nil })
}

const checkTimeout = 5 * time.Second

// checkConfig lets the agent's program read its configuration, and returns what it refuses. The error is why
// the program cannot be executed.
func checkConfig(ctx context.Context, binary string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	said, err := exec.CommandContext(ctx, binary, "--check-config").CombinedOutput()
	if err == nil {
		return "", nil
	}
	if errors.Is(err, unix.ENOEXEC) {
		return "", err
	}
	return cmp.Or(strings.TrimPrefix(strings.TrimSpace(string(said)), "vxland: "), err.Error()), nil
}

// agentProcesses returns the processes of agents in this network namespace, and whether each was
// stopped by a signal.
func agentProcesses() map[int]bool {
	own, _ := os.Readlink("/proc/self/ns/net")
	found := make(map[int]bool)
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err != nil || string(name) != "vxland\n" {
			continue
		}
		dir := filepath.Dir(path)
		if ns, err := os.Readlink(dir + "/ns/net"); err != nil || ns != own {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && pid != os.Getpid() {
			found[pid] = isStopped(pid)
		}
	}
	return found
}

// isStopped tells whether a process is in the state T (proc_pid_stat(5)), behind its name in
// parentheses.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := bytes.Cut(stat, []byte(") "))
	return err == nil && found && len(rest) > 0 && rest[0] == 'T'
}
