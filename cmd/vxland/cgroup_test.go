package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/config"
)

// childVar makes the test's own program do what the variable says.
const childVar = "VXLAND_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVar) {
	case "":
		os.Exit(m.Run())
	case "leave":
		bufio.NewScanner(os.Stdin).Scan() // it is in its groups then
		if err := leaveCgroups(); err != nil {
			fmt.Println(err)
		}
		groups, err := os.ReadFile("/proc/self/cgroup")
		fmt.Println(string(groups), err)
	case "pipe":
		if err := runProgram(options{check: true, config: config.Path}); err != nil {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "nobody reads this")
		os.Exit(7)
	case "limits":
		raiseLimits()
		limits, err := os.ReadFile("/proc/self/limits")
		fmt.Println(string(limits), err)
	}
}

// testChild is this program as a child, with its output.
func testChild(t *testing.T, what string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVar+"="+what)
	return cmd
}

func TestParseCgroupMounts(t *testing.T) {
	for _, tt := range []struct {
		name, mountinfo string
		want            []hierarchy
	}{
		{"second version", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n31 23 0:5 / /sys rw - sysfs sysfs rw\n", []hierarchy{{"/sys/fs/cgroup", true}}},
		{
			"both versions", "1 0 0:1 / / rw - ext4 /dev/a rw\n40 30 0:30 / /sys/fs/cgroup/pids rw shared:11 - cgroup cgroup rw,pids\n41 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n",
			[]hierarchy{{"/sys/fs/cgroup/pids", false}, {"/sys/fs/cgroup/unified", true}},
		},
		{"a part of a hierarchy", "40 30 0:30 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n", nil},
		{"none", "", nil},
		{"unreadable", "40 30\n - \n", nil},
	} {
		if got := parseCgroupMounts(tt.mountinfo); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestForeignCgroups(t *testing.T) {
	for groups, want := range map[string][]string{
		"0::/\n":       nil,
		"0::/vxland\n": nil,
		"":             nil,
		"12:pids:/\n1:name=systemd:/system.slice/web.service\n0::/user.slice/user-0.slice/session-1.scope\n": {"/system.slice/web.service", "/user.slice/user-0.slice/session-1.scope"},
		"0::/system.slice/a:b.service\n": {"/system.slice/a:b.service"},
	} {
		if got := foreignCgroups(groups); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", groups, got, want)
		}
	}
}

// Where the host is a container, its topmost group must have no processes: nobody could give its
// children controllers then.
func TestAgentLeavesTopOfContainerFree(t *testing.T) {
	for _, tt := range []struct {
		name         string
		v2, hasType  bool
		wantOwnGroup bool
	}{
		{"first version", false, false, false},
		{"machine", true, false, false},
		{"container", true, true, true},
	} {
		h := hierarchy{t.TempDir(), tt.v2}
		if tt.hasType {
			if err := os.WriteFile(filepath.Join(h.dir, "cgroup.type"), []byte("domain\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.moveToTop(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		_, topErr := os.Stat(filepath.Join(h.dir, "cgroup.procs"))
		_, ownErr := os.Stat(filepath.Join(h.dir, ownCgroup, "cgroup.procs"))
		if (topErr == nil) == tt.wantOwnGroup || (ownErr == nil) != tt.wantOwnGroup {
			t.Errorf("%s: at the top: %v; in a group of its own: %v", tt.name, topErr == nil, ownErr == nil)
		}
	}
}

// On this machine's own hierarchies, of whichever version they are.
func TestLeaveCgroups(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	const group = "vxland-test"
	cmd := testChild(t, "leave")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	joined := 0
	for _, h := range parseCgroupMounts(string(mounts)) {
		dir := filepath.Join(h.dir, group)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		defer os.Remove(dir)
		// A cpuset without processors takes no process.
		if os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0) == nil {
			joined++
		}
	}
	fmt.Fprintln(stdin)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	if joined == 0 {
		t.Skip("this process may not make control groups")
	}
	if strings.Contains(out.String(), group) {
		t.Errorf("was in %d groups, and then in\n%s", joined, out.String())
	}
	for _, h := range parseCgroupMounts(string(mounts)) {
		defer os.Remove(filepath.Join(h.dir, ownCgroup)) // made where this machine is a container
	}
}
