package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// lookupRepeatedly is a script that resolves a name in a container for some seconds, and prints how
// often that failed and for how long.
func lookupRepeatedly(container, name string, seconds int) string {
	return fmt.Sprintf("nsenter --net=$(podman inspect -f '{{.NetworkSettings.SandboxKey}}' %s) lookup -server 10.0.0.1 -for %ds %s.dns.podman", container, seconds, name)
}

// A killed agent is back at once, without any call of Podman. Name look-ups fail only for that
// moment, and a TCP connection between two hosts loses nothing.
func TestKilledAgentIsRestartedAtOnce(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Tool(t, "lookup")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, a, "client", "--network net")
	runWebServer(t, b, "server", "--network net")
	labtest.Within(t, 2*time.Second, a, "podman exec client ping -c1 -W1 server")
	server := labtest.Address(t, b, "server", "net")
	labtest.Sh(t, b, "podman exec -d server nc -ll -p 9000 -e cat")
	for _, name := range []string{"client", "server"} {
		names := make(chan string, 1)
		go func() {
			out, err := a.Sh(t.Context(), lookupRepeatedly("client", name, 6))
			names <- fmt.Sprint(out, " ", err)
		}()
		flow := make(chan string, 1)
		go func() { // a line each 10 ms, there and back
			out, err := a.Sh(t.Context(), `podman exec client sh -c 'i=0; while [ $i -lt 400 ]; do echo $i; usleep 10000; i=$((i+1)); done | nc `+server+` 9000 | wc -l'`)
			flow <- fmt.Sprint(out, " ", err)
		}()
		time.Sleep(time.Second)
		labtest.Sh(t, a, "pkill -9 -x vxland")
		labtest.Sh(t, b, "pkill -9 -x vxland")
		got := <-names
		t.Logf("asking for %s: %s", name, got)
		var answered, failed, longest int
		if _, err := fmt.Sscanf(got, "answered %d failed %d longest %d ms", &answered, &failed, &longest); err != nil || answered < 200 || longest > 500 {
			t.Errorf("asking for %s: %s: %v", name, got, err)
		}
		if got := <-flow; got != "400 <nil>" {
			t.Errorf("of 400 lines have come back %s", got)
		}
		if name == "client" {
			time.Sleep(5 * time.Second) // an agent that dies again within ten seconds is restarted with a delay
		}
	}
}

// The agents of all hosts are killed again and again while a hundred containers start. Every start
// succeeds without a warning, and afterwards every host knows exactly the names that exist.
func TestContainersStartWhileAgentsAreKilled(t *testing.T) {
	l := startLab(t, 3)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/23")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("w%d", i), "--network net")
	}
	for i, h := range hosts {
		labtest.Sh(t, h, fmt.Sprintf("(while [ ! -e /tmp/enough ]; do sleep 0.%d; pkill -9 -x vxland || true; done) >/dev/null 2>&1 &", 3+2*i))
	}
	// Ping all the while.
	lost := make(chan string, 1)
	server := labtest.Address(t, hosts[1], "w1", "net")
	go func() {
		out, err := hosts[0].Sh(t.Context(), "podman exec w0 ping -i 0.05 -c 400 -W1 "+server+" | grep loss")
		lost <- fmt.Sprint(out, err)
	}()
	const starts = 100
	began := time.Now()
	for i := range starts {
		runWebServer(t, hosts[i%3], fmt.Sprintf("n%d", i), "--network net")
		if i%5 == 4 { // some go again
			labtest.Sh(t, hosts[(i-4)%3], fmt.Sprintf("podman rm -f -t0 n%d >/dev/null", i-4))
		}
	}
	t.Logf("%d starts took %v", starts, time.Since(began))
	for _, h := range hosts {
		labtest.Sh(t, h, "touch /tmp/enough; sleep 1; pkill -9 -x vxland || true")
	}
	if got := <-lost; !strings.Contains(got, " 0% packet loss<nil>") { // as busybox says it
		t.Errorf("flow: %s", got)
	}
	var want, gone []string
	for i := range starts {
		names := &want
		if i%5 == 0 {
			names = &gone
		}
		*names = append(*names, fmt.Sprintf("n%d.dns.podman", i))
	}
	// An agent that was killed so often may be waiting for its restart; a new container starts it.
	for i, h := range hosts {
		labtest.Sh(t, h, fmt.Sprintf("podman rm -f -t0 w%d >/dev/null", i))
		runWebServer(t, h, fmt.Sprintf("w%d", i), "--network net")
	}
	for i, h := range hosts {
		took := labtest.Within(t, 10*time.Second, h, resolvesEach(i, want, "||"))
		t.Logf("w%d finds all %d after %v", i, len(want), took)
		labtest.Sh(t, h, resolvesEach(i, gone, "&&"))
	}
}

// resolvesEach is a script that asks for names in container w0, w1, …, and fails with the first name
// that is found ("&&") or is not found ("||").
func resolvesEach(container int, names []string, orAnd string) string {
	return fmt.Sprintf(`podman exec w%d sh -c 'for n in %s; do nslookup -type=a $n >/dev/null %s { echo "$n"; exit 1; }; done; true'`,
		container, strings.Join(names, " "), orAnd)
}
