package docstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startWithEtcd starts hosts like those of etcd.md, on which Debian's packages of etcd are installed.
func startWithEtcd(t *testing.T) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 3, Binaries: append(labtest.EtcdPrograms(t), labtest.Binary(t, "vxlanctl"))})
	labtest.AsDocumented(t, l)
	unit, err := os.ReadFile("/lib/systemd/system/etcd.service")
	must(t, err)
	labtest.Each(t, l.Hosts(), func(h *lab.Host) {
		// The page's hosts have one address each.
		labtest.Sh(t, h, "ip address del "+h.Addr4().String()+"/24 dev eth0; ip route replace default via 192.168.1.1")
		// As the package does it.
		must(t, h.WriteFile("/lib/systemd/system/etcd.service", unit, 0o644))
		labtest.Sh(t, h, "ln -s /usr/local/bin/etcd /usr/local/bin/etcdctl /usr/bin/; mkdir -p /etc/default; "+
			"adduser --quiet --system --group --disabled-login --disabled-password --home /var/lib/etcd/ etcd 2>&1; "+
			"mkdir -p -m 700 /var/lib/etcd; chown etcd:etcd /var/lib/etcd")
		labtest.StartSystemd(t, h)
	})
	for _, h := range l.Hosts() {
		installOpenSSL(t, h)
	}
	return l
}

// installOpenSSL gives a host the machine's openssl, with its libraries: it does not work with other ones.
func installOpenSSL(t *testing.T, h *lab.Host) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs openssl")
	}
	must(t, err)
	libraries, err := exec.Command("ldd", openssl).Output()
	must(t, err)
	files := []string{openssl, "/etc/ssl/openssl.cnf"}
	for _, field := range strings.Fields(string(libraries)) {
		if filepath.IsAbs(field) && (strings.Contains(field, "/libssl.") || strings.Contains(field, "/libcrypto.")) {
			files = append(files, field)
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		must(t, h.WriteFile("/opt/openssl/"+filepath.Base(file), content, 0o755))
	}
	must(t, h.WriteFile("/usr/local/bin/openssl", []byte("#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/openssl "+
		"OPENSSL_CONF=/opt/openssl/openssl.cnf\nexec /opt/openssl/openssl \"$@\"\n"), 0o755))
}

// typeSection types the blocks of a section on their hosts, each after what else belongs before it. It
// returns what the last one printed.
func typeSection(t *testing.T, l *lab.Lab, page, section string, before map[string]func()) (out string) {
	t.Helper()
	typed := 0
	for _, b := range readPage(t, page) {
		if b.section != section || b.skipped {
			continue
		}
		for text, do := range before {
			if strings.Contains(b.script, text) {
				do()
			}
		}
		names, err := hostNames(b.host, l)
		must(t, err)
		out = ""
		for _, name := range names {
			t.Logf("%s# %s", name, b.script)
			said, err := typeOn(t, l.Host(name), b.script)
			if err != nil {
				t.Fatalf("%s line %d on %s: %v\n%s", page, b.line, name, err, said)
			}
			out += said + "\n"
		}
		t.Log(out)
		typed++
	}
	if typed == 0 {
		t.Fatalf("%s has no commands in section %q", page, section)
	}
	return out
}

// typeOn types a script where systemd answers, if it needs that. There Podman's containers could not be seen
// from elsewhere.
func typeOn(t *testing.T, h *lab.Host, script string) (string, error) {
	t.Helper()
	if strings.Contains(script, "systemctl") {
		return labtest.TryBySystemd(t, h, script)
	}
	return h.Sh(t.Context(), "exec 2>&1; "+script)
}

// From nothing to one server and two hosts, and to three servers with certificates and three hosts, typed as
// etcd.md has it. Only the installation of packages and scp are the test's. Then the roles of each host, typed too:
// hosts work with them, and cannot write what others have.
func TestEtcd(t *testing.T) {
	t.Parallel()
	l := startWithEtcd(t)
	typeOneServer(t, l)
	must(t, l.Host("host-a").WriteFile("/usr/local/bin/scp", []byte(scp), 0o755))
	out := typeSection(t, l, "etcd.md", "Three servers and three hosts", map[string]func(){
		"install -d": func() { deliver(t, l) },
		"ETCDCTL_ENDPOINTS": func() {
			for _, h := range l.Hosts() {
				labtest.Within(t, 30*time.Second, h, "ss -Hltn | grep -q :2379")
			}
		},
	})
	if !strings.Contains(out, "3 packets received") {
		t.Errorf("the look at the end prints\n%s", out)
	}
	for _, h := range l.Hosts() {
		for _, other := range l.Hosts() {
			labtest.Page(t, h, "web-"+h.Name(), "web-"+other.Name())
		}
		bad := regexp.MustCompile(`(?i)failure|warning|unreachable`)
		if out := labtest.Sh(t, h, "vxlanctl status"); bad.MatchString(out) {
			t.Errorf("%s says\n%s", h.Name(), out)
		}
	}
	typeSection(t, l, "etcd.md", "A role for each host", nil)
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman run -d --name later-$(hostname) --network mynet localhost/web; podman rm -f -t0 "+
			"web-$(hostname)")
	}
	for i, h := range l.Hosts() {
		labtest.Page(t, h, "later-"+h.Name(), "later-"+l.Hosts()[(i+1)%3].Name())
	}
	tryAsIntruder(t, l)
}

// tryAsIntruder tries what etcd.md says that somebody can do who has taken over host-b, and how to get rid of
// them.
func tryAsIntruder(t *testing.T, l *lab.Lab) {
	t.Helper()
	a, b := l.Host("host-a"), l.Host("host-b")
	ids := make(map[string]string)
	for _, h := range l.Hosts() {
		ids[h.Name()] = labtest.Sh(t, h, "sed -n s/^id=//p /var/lib/vxlan/host-id")
	}
	const etcdctl = "cd /etc/vxlan/etcd; ETCDCTL_API=3 etcdctl --endpoints https://192.168.1.11:2379 --cacert ca.crt " +
		"--cert host.crt --key host.key "
	own, others := ids["host-b"], ids["host-a"]
	address := "networks/100-4789/addresses/" + labtest.Address(t, a, "later-host-a", "mynet")
	for key, allowed := range map[string]bool{
		"presence/" + own: true, "hosts/" + own + "/networks/100-4789": true,
		"networks/100-4789/hosts/" + own + "/x": true, address: true,
		"presence/" + others: false, "hosts/" + others + "/networks/100-4789": false,
		"networks/100-4789/hosts/" + others: false, "networks/100-4789/hosts/" + others + "/x": false,
		"networks/100-4789/x": false, "networks/101-4789/hosts/" + own: false, "x": false,
	} {
		for _, command := range []string{"put /vxlan/v1/" + key + " x", "del /vxlan/v1/" + key} {
			out, err := b.Sh(t.Context(), "exec 2>&1; "+etcdctl+command)
			if denied := strings.Contains(out, "permission denied"); denied == allowed || allowed != (err == nil) {
				t.Errorf("host-b: %s: %v: %s", command, err, out)
			}
		}
	}
	lease := labtest.Sh(t, a, ". /root/etcd-ca/env; etcdctl get -w fields /vxlan/v1/presence/"+others+
		" | sed -n 's/\"Lease\" : //p'")
	for _, command := range []string{"put /other x", "user list", "role get vxlan", "snapshot save /tmp/x", "auth disable",
		"member add x --peer-urls=https://192.168.1.9:2380", "user grant-role host-b vxlan",
		"lease revoke $(printf %x " + lease + ")"} {
		if out := labtest.Refused(t, b, etcdctl+command); !strings.Contains(out, "permission denied") {
			t.Errorf("host-b: %s: %s", command, out)
		}
	}
	labtest.Refused(t, b, strings.Replace(etcdctl, ":2379", ":2380", 1)+"get x")
	expelIntruder(t, l, own)
}

// expelIntruder types the page's way to be rid of host-b, whose agent runs on meanwhile.
func expelIntruder(t *testing.T, l *lab.Lab, id string) {
	t.Helper()
	a, c := l.Host("host-a"), l.Host("host-c")
	typeSection(t, l, "etcd.md", "When a host is taken over", map[string]func(){
		"host forget": func() { labtest.Within(t, 20*time.Second, a, "vxlanctl host ls | grep 'host-b.* unreachable'") },
	})
	for _, h := range []*lab.Host{a, c} {
		labtest.Within(t, 20*time.Second, h, "! vxlanctl host ls | grep host-b")
		labtest.Within(t, 20*time.Second, h, "! bridge fdb show dev vxlan-mynet | grep 192.168.1.11")
	}
	labtest.Within(t, 20*time.Second, a, "! (. /root/etcd-ca/env; etcdctl get --prefix --keys-only /vxlan/v1/) | grep "+id)
	labtest.Page(t, a, "later-host-a", "later-host-c")
}

// typeOneServer types how etcd.md tries etcd with one server and two hosts. Then it takes all back, as the hosts
// are to have three servers.
func typeOneServer(t *testing.T, l *lab.Lab) {
	t.Helper()
	began := time.Now()
	a, b, server := l.Host("host-a"), l.Host("host-b"), l.Host("host-c")
	labtest.Sh(t, server, "ip address add 192.168.1.20/24 dev eth0")
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "mkdir -p /etc/vxlan") // as the package does
	}
	out := typeSection(t, l, "etcd.md", "One server and two hosts, to try it", nil)
	if !strings.Contains(out, "3 packets received") {
		t.Errorf("the look at the end prints\n%s", out)
	}
	labtest.Page(t, a, "web-host-a", "web-host-b")
	labtest.Page(t, b, "web-host-b", "web-host-a")
	for _, warning := range []string{"the connection to etcd is not encrypted", "etcd's authentication is off"} {
		labtest.Within(t, 10*time.Second, a, `vxlanctl status | tr -s '\n# ' ' ' | grep -q "`+warning+`"`)
	}
	const remove = "podman rm -f -t0 web-$(hostname); vxlanctl network rm mynet; rm /etc/vxlan/vxland.toml"
	labtest.Sh(t, a, remove)
	if out := labtest.Sh(t, b, remove); !strings.Contains(out, "network mynet is retired") {
		t.Error(out)
	}
	for _, h := range []*lab.Host{a, b} { // nobody types the next section faster than agents leave
		labtest.Within(t, 20*time.Second, h, "! pgrep -x vxland")
	}
	out, err := labtest.TryBySystemd(t, server, "systemctl stop etcd; rm -r /var/lib/etcd/default /etc/default/etcd; "+
		"ip address del 192.168.1.20/24 dev eth0")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("one server and two hosts took %v", time.Since(began))
}

// scp is in place of the program, since the lab's hosts have no SSH. What it is to copy it puts where
// deliver finds it.
const scp = `#!/bin/sh
set -eu
[ $# = 3 ] && [ "$1" = -r ] && [ -d "$2" ]
case $3 in root@*:) to=${3#root@} ;; *) echo "scp: $3: must be root@ADDRESS:" >&2; exit 1 ;; esac
mkdir -p "/scp/${to%:}"
cp -r "$2" "/scp/${to%:}/"
`

// deliver puts what was typed to be copied from host A where it belongs.
func deliver(t *testing.T, l *lab.Lab) {
	t.Helper()
	from := l.Host("host-a").Path("/scp")
	for i, h := range l.Hosts()[1:] {
		dir := filepath.Join(from, fmt.Sprintf("192.168.1.%d", 11+i))
		files, err := filepath.Glob(dir + "/*/*")
		if must(t, err); len(files) != 5 {
			t.Fatalf("%s gets %v", h.Name(), files)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			must(t, err)
			must(t, h.WriteFile("/root"+strings.TrimPrefix(file, dir), content, 0o600))
		}
	}
}

// aptInstall is a command that the lab's hosts cannot run, as they have no network.
var aptInstall = regexp.MustCompile(`(?m)^apt install (.*)$`)

// What etcd.md installs are the packages whose programs the lab has: lab/deps.sh names them.
func TestPackagesOfEtcd(t *testing.T) {
	deps, err := os.ReadFile("../deps.sh")
	must(t, err)
	found := 0
	for _, b := range readPage(t, "etcd.md") {
		for _, command := range aptInstall.FindAllStringSubmatch(b.script, -1) {
			found++
			want := []string{"etcd-server", "etcd-client"}
			if got := strings.Fields(command[1]); !slices.Equal(got, want) || !b.skipped {
				t.Errorf("line %d installs %v, want %v", b.line, got, want)
			}
		}
	}
	if found != 2 || !strings.Contains(string(deps), "need etcd etcd-server\n") ||
		!strings.Contains(string(deps), "need etcdctl etcd-client\n") {
		t.Errorf("%d commands install etcd, and lab/deps.sh has\n%s", found, deps)
	}
}
