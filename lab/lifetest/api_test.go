package lifetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// apiHost is a host whose Podman answers Docker's API.
type apiHost struct {
	*testing.T
	*lab.Host
}

// serveAPI starts Podman's API on a socket. It ends with the host.
func serveAPI(t *testing.T, h *lab.Host) apiHost {
	t.Helper()
	labtest.Sh(t, h, "setsid -f podman system service -t 0 unix:///run/api.sock >/run/api.log 2>&1")
	labtest.Eventually(t, h, "curl -sf --unix-socket /run/api.sock http://d/_ping")
	return apiHost{t, h}
}

type apiObject = map[string]any

// call makes a request as Docker's clients do, and returns the status and the answer.
func (h apiHost) call(method, path string, body apiObject) (status, answer string) {
	h.T.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	if err := h.WriteFile("/tmp/body.json", data, 0o600); err != nil {
		h.Fatal(err)
	}
	out := labtest.Sh(h.T, h.Host, fmt.Sprintf("curl -s -X %s --unix-socket /run/api.sock -H 'Content-Type: application/json' -d @/tmp/body.json "+
		`-w '\n%%{http_code}' http://d/v1.41%s`, method, path))
	i := strings.LastIndex(out, "\n")
	return out[i+1:], out[:max(i, 0)]
}

func (h apiHost) mustCall(method, path string, body apiObject) {
	h.T.Helper()
	if status, answer := h.call(method, path, body); !strings.HasPrefix(status, "2") {
		h.Fatalf("%s %s on %s: %s: %s", method, path, h.Host.Name(), status, answer)
	}
}

// composeNetwork is what docker-compose asks for, for a file with both driver_opts and labels.
func composeNetwork(name string, options, labels map[string]string) apiObject {
	all := map[string]string{"com.docker.compose.network": name, "com.docker.compose.project": "shop"}
	for option, value := range labels {
		all["vxlan."+option] = value
	}
	return apiObject{
		"Name": name, "Driver": "vxlan", "CheckDuplicate": true, "Internal": false, "Attachable": false, "EnableIPv6": false,
		"IPAM": apiObject{"Driver": "default", "Config": []apiObject{{"Subnet": "10.0.0.0/24"}}}, "Options": options, "Labels": all,
	}
}

// docker-compose and Portainer make a network by labels: its containers of two hosts find each
// other by name, with the option that Podman passes on, and with what it drops.
func TestDockerAPITakesOptionsAsLabels(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	labels := map[string]string{"vni": "100", "local_ip": "auto", "physical_interface": "eth0", "remote_ips": labtest.VTEPs(l), "isolate": "true"}
	for _, host := range l.Hosts() {
		h := serveAPI(t, host)
		h.mustCall("POST", "/networks/create", composeNetwork("shop_overlay", map[string]string{"vni": "100", "mtu": "1400"}, labels))
		name := "web-" + host.Name()
		h.mustCall("POST", "/containers/create?name="+name, apiObject{
			"Image": "localhost/web", "HostConfig": apiObject{"NetworkMode": "shop_overlay"},
			"NetworkingConfig": apiObject{"EndpointsConfig": apiObject{"shop_overlay": apiObject{"Aliases": []string{"web"}}}},
		})
		h.mustCall("POST", "/containers/"+name+"/start", nil)
		for format, want := range map[string]string{
			"{{.DNSEnabled}}": "true", "{{.Options.vni}} {{.Options.isolate}} {{.Options.mtu}}": "100 true 1400",
			`{{index .Labels "com.docker.compose.project"}}`: "shop",
		} {
			if got := labtest.Sh(t, host, "podman network inspect -f '"+format+"' shop_overlay"); got != want {
				t.Errorf("%s on %s is %q, want %q", format, host.Name(), got, want)
			}
		}
		if got := labtest.Sh(t, host, "podman exec "+name+" ip link show eth0"); !strings.Contains(got, "mtu 1400") {
			t.Errorf("the MTU that Podman passes on is lost: %s", got)
		}
	}
	a, b := l.Host("host-a"), l.Host("host-b")
	labtest.Page(t, a, "web-host-a", "web-host-b")
	labtest.Page(t, b, "web-host-b", "web-host-a")
	for _, host := range l.Hosts() {
		h := apiHost{t, host}
		h.mustCall("DELETE", "/containers/web-"+host.Name()+"?force=true", nil)
		h.mustCall("DELETE", "/networks/shop_overlay", nil)
		checkNothingLeft(t, host)
	}
}

// What cannot work is refused, in words that lead to what does.
func TestDockerAPIRefusals(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 1})
	h := serveAPI(t, l.Host("host-a"))
	labels := map[string]string{"vni": "100", "local_ip": "auto", "physical_interface": "eth0", "remote_ips": "198.18.0.99"}
	with := func(label, value string) map[string]string {
		all := map[string]string{label: value}
		for k, v := range labels {
			all[k] = v
		}
		return all
	}
	for _, test := range []struct {
		name            string
		options, labels map[string]string
		want            string
	}{
		{"options, which Podman drops", labels, nil, "options: none arrived; Podman's Docker-compatible API drops them: give labels instead, such as vxlan.vni=100"},
		{"an unknown label", nil, with("remote_ip", "198.18.0.98"), `label "vxlan.remote_ip": is unknown; did you mean "vxlan.remote_ips"?`},
		{"a contradiction", map[string]string{"mtu": "1400"}, with("mtu", "1300"), `label vxlan.mtu "1300": contradicts --opt mtu=1400; give one of them`},
		{"a wrong value", nil, with("ttl", "300"), `option ttl "300"`},
	} {
		status, answer := h.call("POST", "/networks/create", composeNetwork("x", test.options, test.labels))
		var got struct{ Message string }
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != "500" || !strings.Contains(got.Message, test.want) {
			t.Errorf("%s: %s: %s, want %s", test.name, status, answer, test.want)
		}
	}
	if got := labtest.Sh(t, h.Host, "podman network ls -q"); got != "podman" {
		t.Errorf("left networks %q", got)
	}
}

// The Ansible module podman_network types its `label` like this. It knows no `opt` of other
// drivers.
func TestAnsibleModuleTakesOptionsAsLabels(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 1})
	h := l.Host("host-a")
	labtest.AsDocumented(t, l)
	out := labtest.Sh(t, h, `exec 2>&1; podman network create --driver vxlan --internal=False --subnet 10.0.0.0/24 --gateway 10.0.0.1 \
		--label vxlan.vni=100 --label vxlan.local_ip=auto --label vxlan.physical_interface=auto \
		--label vxlan.remote_ips=192.168.1.10,192.168.1.11 --label vxlan.port_security=True --opt mtu=1400 mynet`)
	if out != "mynet" {
		t.Errorf("create printed %q", out)
	}
	if got := labtest.Sh(t, h, "podman network inspect -f '{{.DNSEnabled}} {{.Options.vni}} {{.Options.mtu}}' mynet"); got != "true 100 1400" {
		t.Errorf("the network has %q", got)
	}
	labtest.Sh(t, h, "podman run --rm --network mynet localhost/busybox ip link show eth0")
}
