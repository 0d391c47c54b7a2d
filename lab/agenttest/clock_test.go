package agenttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A test cannot set the machine's clock. So the agent is built with a package time whose wall clock
// is an hour ahead or behind, in turns of 0.7 s. Its monotonic clock is the real one.
const (
	readsClock = "sec, nsec, mono := runtimeNow()\n"
	jumps      = readsClock + "\tif mono/700_000_000%2 == 0 {\n\t\tsec += 3600\n\t} else {\n\t\tsec -= 3600\n\t}\n"
)

// agentWithJumpingClock builds that agent.
func agentWithJumpingClock(t *testing.T) []byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(root))
	source := filepath.Join(lines[0], "src/time/time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), readsClock) != 1 {
		t.Fatalf("%s reads the clock in another way than this test knows", source)
	}
	dir := t.TempDir()
	changed, list, program := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "vxland")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{changed: strings.Replace(string(text), readsClock, jumps, 1), list: string(overlay)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// All packages are compiled anew. Tests that run meanwhile come first.
	cmd := exec.Command("nice", "go", "build", "-buildvcs=false", "-trimpath", "-overlay", list, "-o", program,
		"./cmd/vxland")
	cmd.Dir, cmd.Env = filepath.Dir(lines[1]), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The clocks of all hosts jump by two hours again and again. No host becomes unreachable, and names
// come and go as usual.
func TestClockJumpsDoNotAffectAgents(t *testing.T) {
	t.Parallel()
	agent := agentWithJumpingClock(t)
	l := labtest.Start(t, lab.Config{Hosts: 3, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	for _, h := range l.Hosts() {
		if err := h.WriteFile("/usr/local/bin/vxland", agent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("c%d", i), "--network net")
	}
	for _, h := range hosts {
		labtest.Within(t, 5*time.Second, h, staticFDBActive("net"))
	}
	for round := range 5 {
		name := fmt.Sprintf("n%d", round)
		runWebServer(t, hosts[round%3], name, "--network net")
		for i, h := range hosts {
			labtest.Within(t, time.Second, h, resolvesName(fmt.Sprintf("c%d", i), name))
		}
		labtest.Sh(t, hosts[round%3], "podman rm -f -t0 "+name)
		for i, h := range hosts {
			labtest.Within(t, time.Second, h, "! "+resolvesName(fmt.Sprintf("c%d", i), name))
			labtest.Sh(t, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 c%d", i, (i+1)%3))
		}
		time.Sleep(time.Second)
	}
	for _, h := range hosts {
		log := labtest.Sh(t, h, "cat /run/vxlan/vxland.log")
		if strings.Contains(log, "unreachable") || strings.Contains(log, "level=ERROR") {
			t.Errorf("%s:\n%s", h.Name(), log)
		}
		if status := labtest.Sh(t, h, "vxlanctl status"); strings.Count(status, "  reachable") != 2 {
			t.Errorf("%s:\n%s", h.Name(), status)
		}
	}
	// An agent that restarts in another hour than the others learns everything as quickly.
	for range 3 { // its keeper waits longer each time
		labtest.Sh(t, hosts[0], "pkill -9 -x vxland")
		time.Sleep(500 * time.Millisecond)
		labtest.Within(t, 5*time.Second, hosts[0], resolvesName("c0", "c1"))
	}
	// Check that the clocks did jump.
	if hours := labtest.Sh(t, hosts[0], "grep -ho 'time=[^ ]*' /run/vxlan/vxland.log | cut -d: -f1 | sort -u | wc -l"); strings.TrimSpace(hours) < "2" {
		t.Errorf("the log is of one hour: %s", labtest.Sh(t, hosts[0], "cat /run/vxlan/vxland.log"))
	}
}
