package agenttest

import (
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

// newerVersion is the version of the program that upgradeAgent installs.
const newerVersion = "v9.9.9"

// upgradeAgent installs another version of the agent, as `make install` does: by a rename, while
// the old one runs.
func upgradeAgent(t *testing.T, h *lab.Host) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vxland")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath",
		"-ldflags", "-X vxlan-driver/internal/version.linked="+newerVersion, "-o", path, "../../cmd/vxland")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/usr/local/bin/vxland.new", data, 0o755); err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, h, "mv /usr/local/bin/vxland.new /usr/local/bin/vxland")
}

// startPair starts two hosts with a container each, whose names resolve everywhere.
func startPair(t *testing.T) (a, b *lab.Host) {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Tool(t, "lookup"), labtest.Binary(t, "vxlanctl")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b = l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, a, "ca", "--network net -p 8080:80")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 2*time.Second, a, resolvesName("ca", "cb.dns.podman"))
	return a, b
}

// wantStatus fails unless `vxlanctl status` prints the text. Without an agent it ends with 1.
func wantStatus(t *testing.T, h *lab.Host, text string) {
	t.Helper()
	if out := labtest.Sh(t, h, "vxlanctl status || true"); !strings.Contains(out, text) {
		t.Errorf("status has no %q:\n%s", text, out)
	}
}

// wantOneAgent fails unless the host has one agent, with the names of both hosts.
func wantOneAgent(t *testing.T, h *lab.Host, when string) {
	t.Helper()
	labtest.Within(t, 5*time.Second, h, "test $(pgrep -cx vxland) = 1; vxlanctl status >/dev/null")
	// The lab has one version of vxlanctl.
	if out := labtest.Sh(t, h, "vxlanctl status | grep -v 'it is version "+newerVersion+"'"); strings.Contains(out, "VX0703") {
		t.Errorf("%s, status says\n%s", when, out)
	}
}

// A changed configuration and an upgraded program are shown, and one command applies them. The
// names are answered all the while but for a moment.
func TestReloadAppliesConfigurationAndProgram(t *testing.T) {
	a, _ := startPair(t)
	changes := []struct {
		what  string
		apply func()
		shown string
	}{
		{"configuration", func() { labtest.Sh(t, a, `mkdir -p /etc/vxlan; echo 'log_level = "debug"' >/etc/vxlan/vxland.toml`) }, "its configuration was changed"},
		{"program", func() { upgradeAgent(t, a) }, "its program was replaced"},
	}
	for _, change := range changes {
		answers := make(chan string, 1)
		go func() {
			out, err := a.Sh(t.Context(), lookupRepeatedly("ca", "cb", 4))
			answers <- fmt.Sprint(out, " ", err)
		}()
		pid := labtest.Sh(t, a, "pgrep -x vxland")
		change.apply()
		wantStatus(t, a, change.shown)
		labtest.Sh(t, a, "vxlanctl reload")
		wantOneAgent(t, a, "after a new "+change.what)
		if now := labtest.Sh(t, a, "pgrep -x vxland"); now != pid {
			t.Errorf("process %s became %s: its keeper does not know it", pid, now)
		}
		got := <-answers
		t.Logf("new %s: %s", change.what, got)
		var answered, failed, longest int
		if _, err := fmt.Sscanf(got, "answered %d failed %d longest %d ms", &answered, &failed, &longest); err != nil || longest > 500 {
			t.Errorf("new %s: %s: %v", change.what, got, err)
		}
	}
	wantStatus(t, a, "vxland "+newerVersion)
	labtest.Sh(t, a, "vxlanctl reload & vxlanctl reload; wait $!")
	wantOneAgent(t, a, "after two reloads at once")

	labtest.Sh(t, a, "echo 'prot = 1' >/etc/vxlan/vxland.toml")
	if out := labtest.Refused(t, a, "vxlanctl reload"); !strings.Contains(out, "prot: is unknown") {
		t.Errorf("reload with a wrong configuration says %s", out)
	}
	wantStatus(t, a, "its configuration is invalid now")
	labtest.Sh(t, a, resolvesName("ca", "cb.dns.podman"))
}

// An agent that was told to end stays away. Status says who misses it, and reload starts it.
func TestReloadStartsAgentThatContainersNeed(t *testing.T) {
	t.Parallel()
	a, _ := startPair(t)
	labtest.Sh(t, a, "pkill -x vxland")
	labtest.Within(t, 2*time.Second, a, "! pgrep ^vxland")
	wantStatus(t, a, "vxland does not run, but 1 container needs it\n#   what to do: vxlanctl reload")
	labtest.Sh(t, a, "vxlanctl reload")
	wantOneAgent(t, a, "after a reload")
	labtest.Within(t, 2*time.Second, a, resolvesName("ca", "cb.dns.podman"))
}

// The old agent after an upgrade leaves the new version's rules alone, and starts anew as soon as
// its own program was replaced.
func TestAgentAndRulesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	a, _ := startPair(t)
	otherVersion := `nft list table inet vxlan-driver | sed 's/comment "rules [0-9a-f]* of/comment "rules 0123456789ab of/' >/tmp/rules
		grep -q 0123456789ab /tmp/rules
		(echo 'delete table inet vxlan-driver'; cat /tmp/rules) | nft -f -`
	isOther := "nft list table inet vxlan-driver | grep -q 0123456789ab"
	labtest.Within(t, 5*time.Second, a, "curl -sS --max-time 2 http://198.18.0.11:8080/")
	labtest.Sh(t, a, otherVersion)
	labtest.Within(t, 3*time.Second, a, "grep -q 'repairing nothing more' /run/vxlan/vxland.log")
	labtest.Sh(t, a, isOther)
	wantStatus(t, a, "VX0703 warning: the firewall tables are of another version")
	labtest.Sh(t, a, resolvesName("ca", "cb.dns.podman"))

	upgradeAgent(t, a)
	labtest.Sh(t, a, "nft list table inet vxlan-driver >/tmp/same; (echo 'delete table inet vxlan-driver'; cat /tmp/same) | nft -f -")
	labtest.Within(t, 5*time.Second, a, "! "+isOther)
	wantStatus(t, a, "vxland "+newerVersion)
	wantOneAgent(t, a, "after an upgrade")
	labtest.Within(t, 2*time.Second, a, resolvesName("ca", "cb.dns.podman"))
}

// removeFiles removes what the driver has in /run, until it is gone: a live agent makes its socket anew meanwhile.
const removeFiles = "until rm -rf /run/vxlan; do :; done"

// Whatever of /run/vxlan somebody removes under a live agent, the host has one agent afterwards,
// and containers that start find the names of all hosts.
func TestAgentWhoseFilesAreRemoved(t *testing.T) {
	t.Parallel()
	a, b := startPair(t)
	for i, removal := range []string{
		"rm /run/vxlan/vxland.sock", "rm /run/vxlan/vxland.lock", "mv /run/vxlan/vxland.sock /run/other",
		// In one step, since the agent makes the socket anew at once.
		"echo other >/run/file; mv /run/file /run/vxlan/vxland.sock",
		removeFiles, "mv /run/vxlan /run/vxlan-old", removeFiles + "; ! vxlanctl reload",
	} {
		labtest.Sh(t, a, removal)
		labtest.Within(t, 5*time.Second, a, "test -S /run/vxlan/vxland.sock || ! pgrep -x vxland")
		name := fmt.Sprintf("more%d", i)
		runWebServer(t, a, name, "--network net")
		wantOneAgent(t, a, removal)
		labtest.Within(t, 2*time.Second, a, resolvesName(name, "cb.dns.podman"))
		labtest.Within(t, 3*time.Second, b, resolvesName("cb", name+".dns.podman"))
		if n := labtest.Sh(t, a, "ss -Hlnu | grep -c :7947"); n != "1" {
			t.Errorf("%s: %s sockets on the agents' port", removal, n)
		}
	}
}
