// Package vxlandriver holds nothing but the test of the project's structure.
package vxlandriver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "vxlan-driver/"

// layers lists what each package may import of this project, directly or not. The arrows of
// docs/design/packages.md run down this list.
var layers = map[string][]string{
	"internal/installed":                    {},
	"internal/kernel":                       {},
	"internal/network":                      {"internal/installed", "internal/kernel"},
	"internal/ipam":                         {"internal/network"},
	"internal/diagnosis":                    {"internal/installed"},
	"internal/docgen":                       {"internal/ctl", "internal/diagnosis", "internal/network"},
	"internal/version":                      {},
	"internal/boottime":                     {},
	"internal/regfile":                      {},
	"internal/clusterkey":                   {"internal/regfile"},
	"internal/adopt":                        {},
	"internal/accept":                       {},
	"internal/enrol":                        {"internal/accept", "internal/adopt", "internal/regfile"},
	"internal/store":                        {"internal/network", "internal/regfile"},
	"internal/plan":                         {"internal/network"},
	"internal/foreignfilter":                {"internal/plan"},
	"internal/iptables":                     {"internal/kernel"},
	"internal/netavark":                     {},
	"internal/golden":                       {},
	"internal/logtest":                      {},
	"internal/cputime":                      {},
	"internal/dns":                          {},
	"internal/kernel/netns":                 {},
	"internal/kernel/netlink":               {"internal/kernel/netns"},
	"internal/kernel/rtnl":                  {"internal/kernel", "internal/kernel/netlink"},
	"internal/kernel/nft":                   {"internal/kernel", "internal/kernel/netlink"},
	"internal/kernel/fastpath":              {"internal/kernel/nft", "internal/kernel/rtnl"},
	"internal/kernel/bpfpath":               {"internal/kernel/netstack"},
	"internal/kernel/addrprobe":             {"internal/kernel"},
	"internal/kernel/tunnelprobe":           {"internal/kernel"},
	"internal/kernel/echo":                  {"internal/kernel/netns"},
	"internal/kernel/conntrack":             {"internal/kernel", "internal/kernel/netlink"},
	"internal/kernel/ethtool":               {"internal/kernel", "internal/kernel/netlink"},
	"internal/kernel/netstack":              {"internal/kernel/addrprobe", "internal/kernel/conntrack", "internal/kernel/ethtool", "internal/kernel/fastpath"},
	"internal/kernel/watch":                 {"internal/kernel", "internal/kernel/netlink"},
	"internal/kernel/wireguard":             {"internal/kernel/netns", "internal/kernel/rtnl"},
	"internal/kernel/wireguard/wggo":        {"internal/kernel/wireguard"},
	"internal/kernel/wireguard/wggotest":    {"internal/kernel/wireguard", "internal/kernel/wireguard/wggo"},
	"internal/kernel/wireguard/wgtest":      {"internal/kernel/wireguard"},
	"internal/kernel/fakekernel":            {"internal/kernel/fastpath"},
	"internal/kernel/netnstest":             {"internal/kernel/netns"},
	"internal/reconcile":                    {"internal/plan"},
	"internal/cluster":                      {"internal/network"},
	"internal/hostid":                       {"internal/cluster", "internal/regfile"},
	"internal/cluster/gossip/refusal":       {"internal/boottime", "internal/cluster"},
	"internal/cluster/gossip/guard":         {"internal/cluster/gossip/refusal"},
	"internal/cluster/gossip/wire":          {"internal/cluster"},
	"internal/cluster/gossip/wire/wiretest": {"internal/cluster/gossip/wire"},
	"internal/cluster/gossip/replica":       {"internal/cluster/gossip/refusal", "internal/cluster/gossip/wire"},
	"internal/cluster/gossip":               {"internal/clusterkey", "internal/cluster/gossip/guard", "internal/cluster/gossip/replica"},
	"internal/cluster/etcd/etcdtest":        {},
	"internal/cluster/etcd/record":          {"internal/cluster"},
	"internal/definition":                   {"internal/adopt", "internal/cluster"},
	"internal/cluster/etcd":                 {"internal/boottime", "internal/regfile", "internal/cluster/etcd/record"},
	"internal/pathcheck":                    {"internal/enrol", "internal/cluster/gossip/guard", "internal/kernel/rtnl", "internal/kernel/tunnelprobe"},
	"internal/hostsetup":                    {"internal/agentapi", "internal/clusterkey", "internal/config", "internal/enrol"},
	"internal/hoststate":                    {"internal/ipam", "internal/foreignfilter", "internal/reconcile", "internal/store"},
	"internal/plugin":                       {"internal/netavark", "internal/hoststate"},
	"internal/podmannet":                    {"internal/regfile"},
	"internal/firewalld":                    {},
	"internal/agentapi":                     {"internal/accept", "internal/installed"},
	"internal/events":                       {"internal/agentapi", "internal/boottime"},
	"internal/journal":                      {"internal/diagnosis"},
	"internal/config":                       {"internal/clusterkey", "internal/cluster/gossip"},
	"internal/membership":                   {"internal/cluster", "internal/dns", "internal/plan"},
	"internal/addrclaim":                    {"internal/boottime", "internal/ipam", "internal/membership"},
	"internal/encryption":                   {"internal/cluster", "internal/kernel/wireguard", "internal/regfile"},
	"internal/repairs":                      {"internal/boottime", "internal/diagnosis", "internal/hoststate"},
	"internal/inventory":                    {"internal/agentapi", "internal/hoststate", "internal/membership"},
	"internal/agent":                        {"internal/definition", "internal/enrol", "internal/clusterkey", "internal/inventory", "internal/addrclaim", "internal/encryption", "internal/events", "internal/repairs", "internal/agentapi", "internal/config", "internal/hoststate", "internal/packettrace"},
	"internal/metrics":                      {"internal/agentapi"},
	"internal/wiring":                       {"internal/plugin", "internal/firewalld", "internal/kernel/netstack", "internal/kernel/netns", "internal/agentapi"},
	"internal/doctor":                       {"internal/adopt", "internal/agentapi", "internal/diagnosis", "internal/foreignfilter"},
	"internal/doctor/survey":                {"internal/adopt", "internal/config", "internal/doctor", "internal/hoststate", "internal/iptables", "internal/kernel/echo", "internal/kernel/netns", "internal/kernel/netstack", "internal/podmannet"},
	"internal/bundle":                       {"internal/regfile"},
	"internal/topology":                     {"internal/agentapi"},
	"internal/web":                          {},
	"internal/top":                          {"internal/ctl/output"},
	"internal/ctl/output":                   {},
	"internal/capture":                      {},
	"internal/packettrace":                  {"internal/agentapi"},
	"internal/ctl":                          {"internal/definition", "internal/hostsetup", "internal/bundle", "internal/topology", "internal/web", "internal/top", "internal/agentapi", "internal/config", "internal/capture", "internal/kernel/echo", "internal/packettrace", "internal/ctl/output", "internal/doctor"},
	"cmd/vxlan":                             {"internal/wiring", "internal/version"},
	"cmd/vxland":                            {"internal/kernel/bpfpath", "internal/cluster/etcd", "internal/kernel/wireguard/wggo", "internal/pathcheck", "internal/doctor/survey", "internal/agent", "internal/hostid", "internal/journal", "internal/wiring", "internal/kernel/tunnelprobe", "internal/kernel/watch", "internal/metrics", "internal/version"},
	"cmd/vxlanctl":                          {"internal/kernel/wireguard", "internal/metrics", "internal/pathcheck", "internal/doctor/survey", "internal/ctl", "internal/inventory", "internal/podmannet", "internal/wiring", "internal/version"},
}

// bans says what a package must not link, and why.
var bans = []struct{ pkg, banned, why string }{
	{"cmd/vxlan", "net/http", "it doubles the plugin, which runs at each container start"},
	{"cmd/vxlan", "github.com/spf13/cobra", "no person types its arguments"},
	{"cmd/vxlan", "github.com/hashicorp/memberlist", "it doubles the plugin too; whoever talks to other hosts is an agent, which stays"},
	{"cmd/vxlan", "google.golang.org/grpc", "etcd is the agent's work; its client would quadruple the plugin"},
	{"cmd/vxlanctl", "google.golang.org/grpc", "vxlanctl asks this host's agent, not etcd"},
	{"internal/config", "google.golang.org/grpc", "who checks a configuration does not connect"},
	{"cmd/vxlan", "github.com/miekg/dns", "names are the agent's work; it would more than double the plugin"},
	{"cmd/vxlan", "github.com/godbus/dbus/v5", "709 kB for five calls of firewalld, where internal/firewalld's own client takes 40 kB"},
	{"cmd/vxlan", "github.com/prometheus/client_golang/prometheus", "metrics are the agent's; it would double the plugin"},
	{"cmd/vxlan", "github.com/cilium/ebpf", "2.5 MB, where the plugin takes entries out of a pinned table by five system calls"},
	{"cmd/vxland", "charm.land/bubbletea/v2", "nobody looks at the agent's screen"},
	{"cmd/vxlan", "golang.zx2c4.com/wireguard/wgctrl", "the agent keeps WireGuard's devices; the plugin reads from the store which to use"},
	{"cmd/vxlan", "golang.zx2c4.com/wireguard/device", "wireguard-go is a process of its own, of the agent's program"},
	{"cmd/vxlan", "regexp", "260 kB for what a loop does as well"},
	{"internal/cluster/gossip/replica", "github.com/hashicorp/memberlist", "the message format and the rules of agreement are pure, so that they are tested and read alone"},
}

// pure lists packages that must give the same output for the same input, and so import nothing by
// which they could look around.
var pure = []string{"internal/installed", "internal/kernel", "internal/ipam", "internal/plan", "internal/network",
	"internal/membership", "internal/foreignfilter", "internal/iptables", "internal/diagnosis", "internal/adopt",
	"internal/definition"}

// soleImporters says which package alone imports a library, so that retries, extended acks, locks
// and what a library lacks are dealt with once.
var soleImporters = map[string][]string{
	"github.com/godbus/dbus/v5":                               {}, // only tests, which compare internal/firewalld's client with it
	"github.com/BurntSushi/toml":                              {"internal/config"},
	"github.com/miekg/dns":                                    {"internal/dns"},
	"github.com/cilium/ebpf":                                  {"internal/kernel/bpfpath"},
	"github.com/cilium/ebpf/link":                             {"internal/kernel/bpfpath"},
	"charm.land/bubbletea/v2":                                 {"internal/top"},
	"github.com/clipperhouse/displaywidth":                    {"internal/ctl/output"},
	"github.com/gopacket/gopacket":                            {"internal/capture"},
	"github.com/prometheus/client_golang/prometheus":          {"internal/metrics"},
	"github.com/prometheus/client_golang/prometheus/promhttp": {"internal/metrics"},
	"github.com/hashicorp/memberlist":                         {"internal/cluster/gossip", "internal/cluster/gossip/guard"},
	"golang.zx2c4.com/wireguard/wgctrl":                       {"internal/kernel/wireguard"},
	"golang.zx2c4.com/wireguard/device":                       {"internal/kernel/wireguard/wggo"},
	"go.etcd.io/etcd/client/v3":                               {"internal/cluster/etcd"},
	module + "internal/cluster/etcd":                          {"cmd/vxland"},                    // the agent knows cluster.Plane only
	module + "internal/cluster/gossip":                        {"cmd/vxland", "internal/config"}, // the agent knows cluster.Plane only
}

// A reader finds out from one page what a package is for.
func TestEveryPackageIsDescribed(t *testing.T) {
	page, err := os.ReadFile("docs/design/packages.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range layers {
		if base := filepath.Base(name); !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "`"+base+"`") {
			t.Errorf("docs/design/packages.md does not say what %s is for", name)
		}
	}
}

func TestImportsPointOneWay(t *testing.T) {
	for pkg, linked := range listDeps(t) {
		name := strings.TrimPrefix(pkg, module)
		allowed, known := reach(name)
		if !known {
			t.Errorf("%s is not in the list of layers; add it, and to docs/design/packages.md", name)
			continue
		}
		for _, dep := range linked {
			dep, ours := strings.CutPrefix(dep, module)
			if ours && !allowed[dep] {
				t.Errorf("%s imports %s, against the arrows", name, dep)
			}
		}
	}
}

// reach returns all that a package may import, the layers below included.
func reach(name string) (map[string]bool, bool) {
	direct, known := layers[name]
	all := make(map[string]bool)
	for _, d := range direct {
		all[d] = true
		below, _ := reach(d)
		for b := range below {
			all[b] = true
		}
	}
	return all, known
}

func TestBannedPackages(t *testing.T) {
	linked := listDeps(t)
	for _, ban := range bans {
		deps, known := linked[module+ban.pkg]
		if !known {
			t.Errorf("there is no package %s", ban.pkg)
		}
		if slices.Contains(deps, ban.banned) {
			t.Errorf("%s links %s: %s", ban.pkg, ban.banned, ban.why)
		}
	}
}

// maxPluginSize keeps the plugin quick to load: it runs at each container start.
const maxPluginSize = 5_000_000

func TestPluginStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vxlan")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/vxlan")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxPluginSize {
		t.Errorf("the plugin has %d bytes, more than %d", info.Size(), maxPluginSize)
	}
}

func TestPurePackagesDoNotLookAround(t *testing.T) {
	paths := make([]string, len(pure))
	for i, pkg := range pure {
		paths[i] = "./" + pkg
	}
	for _, line := range list(t, importsOfEach, paths...) {
		switch imported, by, _ := strings.Cut(line, " "); imported {
		case "os", "os/exec", "time", "syscall", "golang.org/x/sys/unix", "math/rand", "math/rand/v2":
			t.Errorf("%s imports %s, but is to be pure", by, imported)
		}
	}
}

func TestSoleImporters(t *testing.T) {
	for _, line := range list(t, importsOfEach, "./...") {
		imported, by, _ := strings.Cut(line, " ")
		sole, ok := soleImporters[imported]
		if ok && !slices.Contains(sole, strings.TrimPrefix(by, module)) {
			t.Errorf("%s imports %s, which only %v may", by, imported, sole)
		}
	}
}

func TestLabAndBenchImportNothingInternal(t *testing.T) {
	for _, dep := range list(t, `{{join .Deps "\n"}}`, "./lab/...", "./bench/...") {
		if strings.HasPrefix(dep, module+"internal/") {
			t.Errorf("lab or bench links %s; they drive built binaries", dep)
		}
	}
}

// readsPlainly says which files may call os.ReadFile, which waits for a writer where somebody put a
// pipe, and reads a huge file whole. All others read by internal/regfile.
var readsPlainly = map[string]string{
	"cmd/vxland/log.go":                  "its own log, which it has open and has looked at",
	"internal/golden/golden.go":          "only tests do",
	"internal/docgen/man.go":             "a page of this project",
	"internal/kernel/rtnl/support.go":    "a file of the kernel's package",
	"internal/kernel/netstack/sysctl.go": "/proc/sys",
	"internal/kernel/watch/sender.go":    "/proc",
	"internal/doctor/survey/sockets.go":  "/proc",
	"internal/doctor/survey/legacy.go":   "/proc",
	"internal/doctor/survey/limits.go":   "/proc",
	"internal/doctor/survey/managers.go": "/proc, for the name of a process",
	"internal/doctor/survey/agent.go":    "/proc",
}

func TestFilesAreReadWithALimit(t *testing.T) {
	for _, file := range list(t, `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`, "./internal/...",
		"./cmd/...") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, file)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "os.ReadFile") && !strings.Contains(line, `"/proc/`) && readsPlainly[name] == "" {
				t.Errorf("%s reads a file without a limit; use internal/regfile: %s", name, strings.TrimSpace(line))
			}
		}
	}
}

// importsOfEach makes go list print a line for each import: what is imported, and by which package.
const importsOfEach = `{{$p := .ImportPath}}{{range .Imports}}{{.}} {{$p}}{{"\n"}}{{end}}`

// listDeps returns what each package of the programs links, by its path. One call of go list finds that out for all,
// where one for each took most of these tests' time.
func listDeps(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, line := range list(t, `{{.ImportPath}} {{join .Deps " "}}`, "./internal/...", "./cmd/...") {
		fields := strings.Fields(line)
		all[fields[0]] = fields[1:]
	}
	return all
}

// list runs go list and returns its lines.
func list(t *testing.T, format string, patterns ...string) []string {
	t.Helper()
	args := append([]string{"list", "-f", format}, patterns...)
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("go %v: %w\n%s", args, err, out))
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
