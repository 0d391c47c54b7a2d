package labtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
)

// EtcdServers is an etcd in a lab, with one member on each of some hosts. Members talk by TLS, and let nobody in
// without a certificate. What somebody may do follows from the certificate's name: "root" may do
// everything, "vxlan" what an agent needs.
type EtcdServers struct {
	t       testing.TB
	members []*lab.Host
	ca      *authority
}

// EtcdPrograms are the programs that hosts with a member need.
func EtcdPrograms(t testing.TB) (paths []string) {
	t.Helper()
	for _, name := range []string{"etcd", "etcdctl"} {
		path, err := exec.LookPath(name)
		if err != nil && os.Getenv("CI") != "true" {
			t.Skip("needs etcd: install etcd-server and etcd-client")
		} else if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// etcdDir has what members and etcdctl need.
const etcdDir = "/var/lib/etcd-of-lab"

// StartEtcd starts an etcd, and gives it its users.
func StartEtcd(t testing.TB, members ...*lab.Host) *EtcdServers {
	t.Helper()
	e := &EtcdServers{t: t, members: members, ca: newAuthority(t)}
	for _, h := range members {
		e.ca.install(t, h, etcdDir, "member", h.Addr4().AsSlice())
	}
	for _, h := range members {
		e.ca.install(t, h, etcdDir, "root", nil)
	}
	e.StartAll()
	Sh(t, members[0], e.Ctl("user add root --no-password")+"; "+e.Ctl("role add root")+"; "+
		e.Ctl("user grant-role root root")+"; "+e.Ctl("role add vxlan")+"; "+
		e.Ctl("role grant-permission vxlan --prefix=true readwrite /vxlan/v1/")+"; "+
		e.Ctl("user add vxlan --no-password")+"; "+e.Ctl("user grant-role vxlan vxlan")+"; "+e.Ctl("auth enable"))
	return e
}

func memberURL(h *lab.Host, port int) string { return fmt.Sprintf("https://%v:%d", h.Addr4(), port) }

// urls are those of all members, each as the format has it.
func (e *EtcdServers) urls(format string) string {
	var all []string
	for _, h := range e.members {
		all = append(all, fmt.Sprintf(format, memberURL(h, 2379)))
	}
	return strings.Join(all, ",")
}

// Configure writes an agent's configuration, and the host's certificate.
func (e *EtcdServers) Configure(h *lab.Host, settings string) {
	e.t.Helper()
	e.ConfigureAs(h, "vxlan", settings)
}

// ConfigureAs is the same for another of etcd's users.
func (e *EtcdServers) ConfigureAs(h *lab.Host, user, settings string) {
	e.t.Helper()
	const dir = "/etc/vxlan/etcd/"
	e.ca.install(e.t, h, dir, user, nil)
	config := fmt.Sprintf("ebpf = %v\n[etcd]\nendpoints = [%s]\nca = %q\ncert = %q\nkey = %q\n%s", UsesPrograms(),
		e.urls("%q"), dir+"ca.crt", dir+user+".crt", dir+user+".key", settings)
	if err := h.WriteFile("/etc/vxlan/vxland.toml", []byte(config), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// Start starts a member, or starts it again with what it had.
func (e *EtcdServers) Start(h *lab.Host) {
	e.t.Helper()
	client, peer := memberURL(h, 2379), memberURL(h, 2380)
	var initial []string
	for _, m := range e.members {
		initial = append(initial, m.Name()+"="+memberURL(m, 2380))
	}
	tls := func(flag string) string {
		return fmt.Sprintf("--%[1]scert-file %[2]s/member.crt --%[1]skey-file %[2]s/member.key "+
			"--%[1]strusted-ca-file %[2]s/ca.crt --%[1]sclient-cert-auth ", flag, etcdDir)
	}
	Sh(e.t, h, fmt.Sprintf("setsid -f sh -c 'echo $$ >%[1]s/pid; exec etcd --name %[2]s --data-dir %[1]s/data "+
		"--listen-client-urls %[3]s --advertise-client-urls %[3]s --listen-peer-urls %[4]s "+
		"--initial-advertise-peer-urls %[4]s --initial-cluster %[5]s --peer-cert-allowed-cn member "+
		"--logger zap --log-level error %[6]s' >%[1]s/log 2>&1",
		etcdDir, h.Name(), client, peer, strings.Join(initial, ","), tls("")+tls("peer-")))
}

// Kill ends a member, as a crash does.
func (e *EtcdServers) Kill(h *lab.Host) {
	e.t.Helper()
	Sh(e.t, h, "pid=$(cat "+etcdDir+"/pid); kill -9 $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done")
}

// KillAll ends all members.
func (e *EtcdServers) KillAll() {
	e.t.Helper()
	Each(e.t, e.members, e.Kill)
}

// answerLimit is for members that elect a leader on a busy machine.
const answerLimit = 30 * time.Second

// StartAll starts all members, and waits until they answer.
func (e *EtcdServers) StartAll() {
	e.t.Helper()
	Each(e.t, e.members, e.Start)
	e.Await()
}

// Await waits until all members answer, which takes a leader.
func (e *EtcdServers) Await() {
	e.t.Helper()
	Within(e.t, answerLimit, e.members[0], e.Ctl("endpoint health"))
}

// KillLeader ends the member that is the leader, once there is one, and returns its host.
func (e *EtcdServers) KillLeader() *lab.Host {
	e.t.Helper()
	for began := time.Now(); time.Since(began) < answerLimit; time.Sleep(50 * time.Millisecond) {
		for _, h := range e.members {
			if e.isLeader(h) {
				e.Kill(h)
				return h
			}
		}
	}
	e.t.Fatalf("etcd has no leader after %v", answerLimit)
	return nil
}

func (e *EtcdServers) isLeader(h *lab.Host) bool {
	// A member that does not answer is none.
	out, err := e.members[0].Sh(e.t.Context(), e.ctlAt(memberURL(h, 2379), "endpoint status -w json"))
	var all []struct {
		Status struct {
			Header struct {
				MemberID uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
		}
	}
	return err == nil && json.Unmarshal([]byte(out), &all) == nil && len(all) == 1 &&
		all[0].Status.Leader != 0 && all[0].Status.Leader == all[0].Status.Header.MemberID
}

// Compact makes etcd forget what it had before this moment.
func (e *EtcdServers) Compact() {
	e.t.Helper()
	Sh(e.t, e.members[0], fmt.Sprintf("revision=$(%s | grep -o '\"revision\":[0-9]*' | head -1 | cut -d: -f2); %s",
		e.Ctl("get x -w json"), e.Ctl("compact $revision")))
}

// Ctl is a script that runs etcdctl, on the host of a member.
func (e *EtcdServers) Ctl(args string) string { return e.ctlAt(e.urls("%s"), args) }

func (e *EtcdServers) ctlAt(urls, args string) string {
	return fmt.Sprintf("ETCDCTL_API=3 etcdctl --endpoints %s --cacert %[2]s/ca.crt --cert %[2]s/root.crt "+
		"--key %[2]s/root.key %s", urls, etcdDir, args)
}
