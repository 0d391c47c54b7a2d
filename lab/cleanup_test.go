package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// traces is what labs could leave on the machine. Processes are found by the lab's namespaces and
// cgroup, not counted, since other programs come and go while the tests run.
type traces struct {
	links, netns, mounts string
}

func traceMachine(t *testing.T) traces {
	t.Helper()
	run := func(argv ...string) string {
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", argv, err)
		}
		return string(out)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return traces{links: run("ip", "-br", "link"), netns: run("ip", "netns", "list"), mounts: string(mounts)}
}

// namespaces returns the inodes of the lab's namespaces that are not the machine's own.
func namespaces(t *testing.T, l *lab.Lab) []string {
	t.Helper()
	var found []string
	for _, h := range l.Hosts() {
		for _, kind := range []string{"net", "mnt", "pid", "uts", "ipc", "cgroup"} {
			ns := readLink(fmt.Sprintf("/proc/%d/ns/%s", h.PID(), kind))
			if ns == "" || ns == readLink("/proc/self/ns/"+kind) {
				t.Fatalf("%s shares its %s namespace with the machine: %q", h.Name(), kind, ns)
			}
			found = append(found, ns)
		}
	}
	return append(found, readLink(l.UnderlayNetns()))
}

func readLink(path string) string {
	target, _ := os.Readlink(path)
	return target
}

// checkGone fails if anything of that lab is left.
func checkGone(t *testing.T, name string, namespaces []string, before traces) {
	t.Helper()
	if after := traceMachine(t); after != before {
		t.Errorf("machine changed from\n%+v\nto\n%+v", before, after)
	}
	if _, err := os.Stat("/run/vxlan-lab/" + name); err == nil {
		t.Errorf("/run/vxlan-lab/%s is left", name)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if !slices.Contains(namespaces, readLink(link)) {
			continue
		}
		// An init whose starter was killed is reaped by the machine's init, at some time. A zombie
		// has only its exit status left.
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "../stat"))
		if !strings.Contains(string(stat), ") Z ") {
			t.Errorf("a process lives on in the lab: %s: %.40s", link, stat)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "vxlan-lab-"+name {
			t.Errorf("cgroup is left: %s", path)
		}
		return nil
	})
}

// busyScript leaves much running: a container on a netavark network, an exec session, a daemon
// without session and parent, and a network namespace with a VXLAN device.
const busyScript = `
podman network create net
podman run -d --name web --network net -p 8080:80 web
podman exec -d web sleep 1000
setsid -f sleep 1000 >/dev/null 2>&1
ip netns add inner
ip link add vx type vxlan id 7 dstport 4789 local 198.18.0.11 dev eth0
ip link set vx netns inner
`

func TestCloseLeavesNothing(t *testing.T) {
	labtest.Tree(t)
	before := traceMachine(t)
	l := startLab(t, lab.Config{Hosts: 2})
	labtest.Sh(t, l.Host("host-a"), busyScript)
	inside := namespaces(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	checkGone(t, l.Name(), inside, before)
	if err := l.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

// A connection that its process left open, with data that nobody acknowledges any more, holds the network namespace of
// its host for as long as the kernel sends that again: a minute and a half by default.
func TestCloseDoesNotWaitForUnacknowledgedData(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 2})
	a, b := l.Host("host-a"), l.Host("host-b")
	labtest.Sh(t, b, "setsid -f python3 -m http.server 7000 >/dev/null 2>&1")
	labtest.Eventually(t, b, "ss -ltn | grep :7000")
	labtest.Sh(t, a, `setsid -f bash -c 'exec 3<>/dev/tcp/`+b.Addr4().String()+`/7000; touch /run/connected
		until [ -e /run/cut ]; do sleep 0.01; done; echo data >&3; touch /run/sent; sleep 1000' >/dev/null 2>&1`)
	labtest.Eventually(t, a, "test -e /run/connected")
	if _, err := l.UnderlayIP(t.Context(), "link", "set", "host-b", "down"); err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, a, "touch /run/cut")
	labtest.Eventually(t, a, "test -e /run/sent")
	began := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the lab closed after %v", took)
	}
}

// The test binary runs a second time as the process that starts a lab and is then killed; see
// TestMain.
const crashEnv = "VXLAN_LAB_TEST_CRASH"

func TestMain(m *testing.M) {
	if name := os.Getenv(crashEnv); name != "" {
		startAndHang(name)
	}
	os.Exit(m.Run())
}

func startAndHang(name string) {
	ctx := context.Background()
	tree, err := lab.Prepare(ctx, "", os.Stderr)
	if err == nil && strings.HasPrefix(name, "reaped-") {
		err = labtest.StartReaper()
	}
	if err == nil {
		var l *lab.Lab
		if l, err = lab.Start(ctx, lab.Config{Name: name, Tree: tree, Hosts: 2}); err == nil {
			_, err = l.Host("host-a").Sh(ctx, busyScript)
		}
	}
	fmt.Println("started:", err)
	select {}
}

// crashLab starts a lab in another process and kills that process.
func crashLab(t *testing.T, name string) (inside []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashEnv+"="+name)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "started: <nil>" {
		t.Errorf("lab of the process to be killed: %q, %v", line, err)
	}
	if l, err := lab.Open(name); err == nil {
		inside = namespaces(t, l)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return inside
}

func TestSweepRemovesKilledLab(t *testing.T) {
	labtest.Tree(t)
	before := traceMachine(t)
	name := fmt.Sprintf("crash-%d", os.Getpid())
	inside := crashLab(t, name)
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkGone(t, name, inside, before)
}

// A test that is killed leaves nothing, also if no other test follows.
func TestReaperRemovesKilledLab(t *testing.T) {
	labtest.Tree(t)
	before := traceMachine(t)
	name := fmt.Sprintf("reaped-%d", os.Getpid())
	inside := crashLab(t, name)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat("/run/vxlan-lab/" + name); err != nil {
			break
		}
	}
	checkGone(t, name, inside, before)
}

func TestStartReplacesLabOfDeadOwner(t *testing.T) {
	tree := labtest.Tree(t)
	before := traceMachine(t)
	name := fmt.Sprintf("again-%d", os.Getpid())
	inside := crashLab(t, name)
	l := startLab(t, lab.Config{Name: name, Hosts: 1})
	labtest.Sh(t, l.Host("host-a"), "test -z $(podman ps -aq)")
	if _, err := lab.Start(t.Context(), lab.Config{Name: name, Tree: tree}); err == nil {
		t.Error("started a second lab of the name of one that runs")
	}
	labtest.Sh(t, l.Host("host-a"), "true") // and the first still does
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	checkGone(t, name, inside, before)
}

func TestConcurrentLabs(t *testing.T) {
	labtest.Tree(t)
	before := traceMachine(t)
	var labs [3]*lab.Lab
	t.Run("labs", func(t *testing.T) {
		var wait sync.WaitGroup
		for i := range labs {
			wait.Go(func() { labs[i] = startLab(t, lab.Config{Hosts: 2}) })
		}
		wait.Wait()
		for _, l := range labs {
			if l != nil { // the same addresses in each, and no clash
				labtest.Sh(t, l.Host("host-a"), "ping -c1 -W2 198.18.0.12")
			}
		}
	})
	for _, l := range labs {
		if l != nil {
			checkGone(t, l.Name(), nil, before)
		}
	}
}

// A lab whose start fails leaves nothing.
func TestFailedStartLeavesNothing(t *testing.T) {
	labtest.Tree(t)
	before := traceMachine(t)
	name := fmt.Sprintf("broken-%d", os.Getpid())
	_, err := lab.Start(t.Context(), lab.Config{Name: name, Tree: lab.Tree{Root: t.TempDir()}, Hosts: 2})
	if err == nil || !strings.Contains(err.Error(), "boot host-a") {
		t.Errorf("start on an empty tree: %v", err)
	}
	checkGone(t, name, nil, before)
}
