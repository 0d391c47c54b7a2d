package survey_test

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netnstest"
)

// programs are the driver's, as they are built and installed. The first test that needs them builds
// them.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "vxlan-doctor"); err != nil {
		return "", err
	}
	programDirs = append(programDirs, dir)
	return dir, goBuild(dir+"/", "", "vxlan", "vxland", "vxlanctl")
})

var programDirs []string // to be removed

// goBuild builds commands, with files replaced as an overlay says (go help build).
func goBuild(output, overlay string, commands ...string) error {
	args := []string{"build", "-o", output}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	for _, c := range commands {
		args = append(args, "vxlan-driver/cmd/"+c)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range programDirs {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// lan is a switch, in a namespace of its own, and the hosts that are plugged in.
type lan struct {
	netns string
	shell func(script string) string // on the switch
	hosts []*machine
}

// machine is a host without Podman: namespaces and directories of its own, with the driver's
// programs. Its address is 198.18.0.11 for host-a, .12 for host-b and so on.
type machine struct {
	t          *testing.T
	name, addr string
	pid        int
	endpoints  int
}

// setUpMachine hides what this machine has. What tools such as ip read from /etc stays.
const setUpMachine = `
mount -t tmpfs tmpfs /usr/local
mkdir -p /usr/local/libexec/netavark /usr/local/libexec/vxlan /usr/local/bin
cp $PROGRAMS/vxlan /usr/local/libexec/netavark/
cp $PROGRAMS/vxland /usr/local/libexec/vxlan/
cp $PROGRAMS/vxlanctl /usr/local/bin/
mount -t tmpfs tmpfs /tmp
mkdir /tmp/etc && cp -a /etc/passwd /etc/group /etc/ld.so.cache /etc/protocols /etc/alternatives /etc/iproute2 /tmp/etc 2>/dev/null || true
mount --bind /tmp/etc /etc
echo 127.0.0.1 localhost > /etc/hosts; true > /etc/resolv.conf
tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
mkdir -p /etc/containers/networks /etc/vxlan
for dir in /run /var/lib; do mount -t tmpfs tmpfs $dir; done
mkdir -p /run/netns
mount -t sysfs sysfs /sys; mount -t proc proc /proc
hostname $NAME
ip link set lo up
echo ready
exec sleep infinity
`

// newLAN makes a switch and hosts.
func newLAN(t *testing.T, count int) *lan {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the programs")
	}
	l := &lan{netns: netnstest.New(t)}
	l.shell = netnstest.Shell(t, l.netns)
	l.shell("ip link set lo up; ip link add sw type bridge mcast_snooping 0; ip link set sw up")
	for i := range count {
		h := newMachine(t, "host-"+string(rune('a'+i)), fmt.Sprintf("198.18.0.%d", 11+i))
		l.hosts = append(l.hosts, h)
		l.shell(fmt.Sprintf("ip link add %[1]s type veth peer name eth0 netns %[2]d; ip link set %[1]s master sw up", h.name, h.pid))
		h.sh(fmt.Sprintf("ip link set eth0 up; ip address add %s/24 dev eth0; ip -6 address add fd00:198:18::%d/64 dev eth0 nodad; "+
			"ip route add default via 198.18.0.1", h.addr, 11+i))
	}
	return l
}

func newMachine(t *testing.T, name, addr string) *machine {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", setUpMachine)
	cmd.Env = []string{"PATH=" + machinePath, "PROGRAMS=" + dir, "NAME=" + name}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID,
		// Without this, mounts would be seen outside.
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs root to make namespaces: %v", err)
	}
	t.Cleanup(func() { // with it all processes of its PID namespace end
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		_ = cmd.Process.Kill()
		t.Fatalf("%s: %q, %v: %s", name, line, err, said.String())
	}
	return &machine{t: t, name: name, addr: addr, pid: cmd.Process.Pid}
}

const machinePath = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command runs a script on the host.
func (h *machine) command(script string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), "nsenter", "-t", fmt.Sprint(h.pid), "-m", "-n", "-u", "-p", "sh", "-ec", script)
	cmd.Env = []string{"PATH=" + machinePath, "HOME=/root"}
	return cmd
}

func (h *machine) sh(script string) string {
	h.t.Helper()
	out, err := h.command(script).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %s: %v\n%s", h.name, script, err, out)
	}
	return string(out)
}

// createNetwork does as `podman network create` does. A comma separates subnets.
func (h *machine) createNetwork(name string, dns bool, subnet string, options map[string]string) {
	h.t.Helper()
	given := map[string]string{"local_ip": h.addr, "physical_interface": "eth0", "vni": "100"}
	maps.Copy(given, options)
	var subnets []map[string]string
	for s := range strings.SplitSeq(subnet, ",") {
		subnets = append(subnets, map[string]string{"subnet": s})
	}
	definition, err := json.Marshal(map[string]any{
		"name": name, "driver": "vxlan", "id": fmt.Sprintf("%x", sha256.Sum256([]byte(name))), "network_interface": "br-vxlan-" + name,
		"options": given, "subnets": subnets,
		"dns_enabled": dns, "ipv6_enabled": strings.Contains(subnet, ":"), "internal": false,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command("/usr/local/libexec/netavark/vxlan create > /etc/containers/networks/" + name + ".json; cat /etc/containers/networks/" + name + ".json")
	cmd.Stdin = strings.NewReader(string(definition))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: create %s: %v\n%s", h.name, name, err, out)
	}
}

// start does as `podman run` does, as far as the network is concerned. A comma separates addresses.
func (h *machine) start(network, container, addr string) {
	h.t.Helper()
	h.endpoints++
	definition := h.sh("ip netns add " + container + "; cat /etc/containers/networks/" + network + ".json")
	request, err := json.Marshal(map[string]any{
		"container_id": fmt.Sprintf("%x", sha256.Sum256([]byte(container))), "container_name": container, "network": json.RawMessage(definition),
		"network_options": map[string]any{"interface_name": "eth0", "static_ips": strings.Split(addr, ",")},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command("ip netns exec " + container + " ip link set lo up; exec /usr/local/libexec/netavark/vxlan setup /run/netns/" + container)
	cmd.Stdin = strings.NewReader(string(request))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: start %s: %v\n%s", h.name, container, err, out)
	}
}

// finding is one of doctor's, as its JSON has it.
type finding struct {
	Code, Level, Host, Network, Summary string
	Evidence, Mend                      []string
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s %s %s: %s\n  seen %q\n  mend %q", f.Code, f.Level, f.Host, f.Network, f.Summary, f.Evidence, f.Mend)
}

// doctor types vxlanctl doctor.
func (h *machine) doctor(args string) (found []finding) {
	h.t.Helper()
	out, err := h.command("vxlanctl doctor --format json " + args).Output()
	var report struct{ Findings []finding }
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		h.t.Fatalf("%s: doctor: %v, %v: %s", h.name, err, jsonErr, out)
	}
	return report.Findings
}

// awaitFinding examines the host until the first finding has the code, on a host and with words.
func (h *machine) awaitFinding(code, host, says string) finding {
	h.t.Helper()
	return h.awaitFindingWithin(30*time.Second, code, host, says)
}

func (h *machine) awaitFindingWithin(limit time.Duration, code, host, says string) (first finding) {
	h.t.Helper()
	var found []finding
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if found = h.doctor(""); len(found) > 0 && found[0].Code == code && found[0].Host == host && strings.Contains(found[0].Summary, says) {
			return found[0]
		}
	}
	h.t.Errorf("on %s: want %s on %s (%s) first, found %v", h.name, code, host, says, found)
	return finding{}
}

// awaitHealth waits until doctor finds nothing on any host.
func (l *lan) awaitHealth(t *testing.T) {
	t.Helper()
	for _, h := range l.hosts {
		h.awaitHealth(t)
	}
}

func (h *machine) awaitHealth(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second) // a refused host tries again within a minute
	for found := h.doctor(""); len(found) > 0; found = h.doctor("") {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not healthy: %v", h.name, found)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// remotes are the addresses of all hosts, as the option remote_ips has them.
func (l *lan) remotes() string {
	var all []string
	for _, h := range l.hosts {
		all = append(all, h.addr)
	}
	return strings.Join(all, ",")
}

// startNetwork creates a network on all hosts and starts a container on each: net-a, of the network
// net, on host-a. The network with the VNI 102 has the subnet 10.0.2.0/24.
func (l *lan) startNetwork(name string, dns bool, options ...map[string]string) {
	for i, h := range l.hosts {
		given := map[string]string{"remote_ips": l.remotes(), "vni": "100"}
		if len(options) > 0 {
			maps.Copy(given, options[min(i, len(options)-1)]) // one for all, or one for each
		}
		number := strings.TrimLeft(given["vni"][1:], "0")
		subnet := "10.0." + cmp.Or(number, "0")
		h.createNetwork(name, dns, subnet+".0/24", given)
		h.start(name, name+"-"+string(rune('a'+i)), fmt.Sprintf("%s.%d", subnet, 11+i))
	}
}

// write writes a file on the host.
func (h *machine) write(path, text string) {
	h.t.Helper()
	cmd := h.command("mkdir -p " + filepath.Dir(path) + "; cat > " + path + "; chmod 600 " + path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: write %s: %v: %s", h.name, path, err, out)
	}
}

// between adds a rule on the switch.
func (l *lan) between(rule string) {
	l.shell("nft add table bridge block; nft 'add chain bridge block c { type filter hook forward priority 0; }'; nft 'add rule bridge block c " + rule + "'")
}

func (l *lan) removeRules() { l.shell("nft flush ruleset") }

// installVxlandAhead installs an agent that takes its host's clock to be ahead. All namespaces have one
// clock.
func (h *machine) installVxlandAhead(ahead time.Duration) {
	h.t.Helper()
	dir := h.t.TempDir()
	const file = "../../../cmd/vxland/diagnose.go"
	original, err := filepath.Abs(file)
	if err != nil {
		h.t.Fatal(err)
	}
	source, err := os.ReadFile(original)
	if err != nil {
		h.t.Fatal(err)
	}
	text := strings.Replace(string(source), "time.Now()", fmt.Sprintf("time.Now().Add(%d)", ahead), 1)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: dir + "/diagnose.go"}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(dir+"/diagnose.go", []byte(text), 0o600), os.WriteFile(dir+"/overlay.json", overlay, 0o600),
		goBuild(dir+"/vxland", dir+"/overlay.json", "vxland")); err != nil {
		h.t.Fatal(err)
	}
	program, err := os.ReadFile(dir + "/vxland")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("/usr/local/libexec/vxlan/vxland", string(program))
	h.sh("chmod 755 /usr/local/libexec/vxlan/vxland")
}
