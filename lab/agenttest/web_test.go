package agenttest

import (
	"fmt"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// request is a script that asks a host's page, and prints the answer as far as it comes in a second. By
// HTTP/1.0 it is not cut into chunks, whose headers would be among the text.
func request(path, name string) string {
	return fmt.Sprintf(`bash -c "exec 3<>/dev/tcp/127.0.0.1/7950; printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' >&3; timeout 1 cat <&3"`, path, name)
}

// tryPage serves the page on a host whose rules were repaired. What a real agent says is on it, live, and
// for nobody but this host.
func tryPage(t *testing.T, h, other *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, "vxlanctl web >/tmp/web.out 2>&1 & echo $! >/tmp/web.pid")
	for path, want := range map[string]string{
		"/": `<th scope="row">host-b</th>.*reachable`, "/live": `repaired.*firewall`, "/json/hosts": `"host": "host-b`, "/json/mesh": `"to": "host-b"`, "/topology.svg": "ca 10.0.0.",
	} {
		labtest.Within(t, 10*time.Second, h, request(path, "localhost")+" | grep -q '"+want+"'")
	}
	labtest.Sh(t, h, request("/", "attacker.example")+" | grep -q '^HTTP/1.0 403'")
	labtest.Sh(t, other, fmt.Sprintf("! bash -c 'echo >/dev/tcp/%s/7950' 2>/dev/null", h.Addr4()))
	labtest.Sh(t, h, "kill -TERM $(cat /tmp/web.pid); grep -q 'http://127.0.0.1:7950/' /tmp/web.out")
	labtest.Within(t, 5*time.Second, h, "! pgrep -x vxlanctl")
}
