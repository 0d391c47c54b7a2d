package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"vxlan-driver/lab"
)

// story is a run of three lab hosts to which things happen, with a Prometheus that watches them.
type story struct {
	lab        *lab.Lab
	prometheus *exec.Cmd
	dir        string // of Prometheus
}

// length is how long the story takes.
const length = 3 * time.Minute

// chapters are what happens, and when. Scripts run on host-a, host-b or host-c.
var chapters = []struct {
	at     time.Duration
	host   int
	script string
}{
	{20 * time.Second, 1, "for n in 4 5; do podman run -d --name web-$n --network blue localhost/web >/dev/null; done"},
	{40 * time.Second, 0, "nft flush ruleset; ip link del vxlan-blue"},
	{60 * time.Second, 2, "nft 'table inet block { chain in { type filter hook input priority 0; " +
		"udp dport 4789 drop; }; }'"},
	{90 * time.Second, 2, "nft delete table inet block"},
	{120 * time.Second, 0, inContainer("web-1",
		"for n in $(seq 100); do echo x >/dev/udp/198.18.0.12/4789; sleep 0.1; done", "&")},
	{140 * time.Second, 1, "podman rm -f -t0 web-4 >/dev/null"},
}

// inContainer runs a script in a container's network namespace.
func inContainer(name, script, how string) string {
	return "nsenter -t $(podman inspect -f '{{.State.Pid}}' " + name + ") -n bash -c '" + script + "' >/dev/null " +
		"2>&1 </dev/null " + how
}

// tell runs the story, and returns the picture of it.
func tell(ctx context.Context, b board) (svg string, err error) {
	s, err := begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	began := time.Now()
	for _, c := range chapters {
		if err := pause(ctx, time.Until(began.Add(c.at))); err != nil {
			return "", err
		}
		if _, err := s.lab.Hosts()[c.host].Sh(ctx, c.script); err != nil {
			return "", err
		}
	}
	if err := pause(ctx, time.Until(began.Add(length))); err != nil {
		return "", err
	}
	return s.draw(ctx, b, began)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// draw runs this program beside Prometheus: on host-a.
func (s *story) draw(ctx context.Context, b board, began time.Time) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "nsenter", "--net="+s.lab.Hosts()[0].Netns(), self,
		"-dashboard", b.path, "-end", fmt.Sprint(began.Add(length).Unix()), "-length", length.String()).Output()
	return string(out), err
}

// begin starts the hosts with a container each, traffic between them, and Prometheus.
func begin(ctx context.Context) (_ *story, err error) {
	s := new(story)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	tree, err := lab.Prepare(ctx, "", os.Stderr)
	if err != nil {
		return nil, err
	}
	s.lab, err = lab.Start(ctx, lab.Config{Tree: tree, Hosts: 3, Plugin: "bin/vxlan",
		Binaries: []string{"bin/vxland", "bin/vxlanctl"}})
	if err != nil {
		return nil, err
	}
	var addrs []string
	for _, h := range s.lab.Hosts() {
		addrs = append(addrs, h.Addr4().String())
	}
	for i, h := range s.lab.Hosts() {
		if err := furnish(ctx, h, strings.Join(addrs, ","), i); err != nil {
			return nil, err
		}
	}
	for i, h := range s.lab.Hosts() {
		if _, err := h.Sh(ctx, fmt.Sprintf(traffic, i+1)); err != nil {
			return nil, err
		}
	}
	return s, s.startPrometheus()
}

// traffic is pings to all hosts' containers, and queries for their names.
const traffic = `podman exec -d web-%d sh -c 'while :; do for n in 1 2 3; do ping -q -c 20 -i 0.05 -s 1000 -W 1 web-$n; nslookup web-$n; done; done'`

// furnish gives a host a key, metrics, two networks and a container.
func furnish(ctx context.Context, h *lab.Host, addrs string, number int) error {
	key := base64.StdEncoding.EncodeToString([]byte("thirty-two bytes that all know.."))
	if err := h.WriteFile("/etc/vxlan/key", []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	config := fmt.Sprintf("metrics = \"%s:7948\"\nkey_file = \"/etc/vxlan/key\"\n", h.Addr4())
	if err := h.WriteFile("/etc/vxlan/vxland.toml", []byte(config), 0o600); err != nil {
		return err
	}
	create := "podman network create --driver vxlan --opt local_ip=auto --opt physical_interface=eth0 --opt " +
		"remote_ips=" + addrs
	for _, command := range []string{
		create + " --opt vni=100 --subnet 10.0.0.0/24 blue",
		create + " --opt vni=101 --subnet 10.0.1.0/24 red",
		fmt.Sprintf("podman run -d --name web-%d --network blue --network red localhost/web", number+1),
	} {
		if _, err := h.Sh(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// startPrometheus starts one on host-a.
func (s *story) startPrometheus() (err error) {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		return fmt.Errorf("%w; Debian's package prometheus has it", err)
	}
	if s.dir, err = os.MkdirTemp("", "dashboard"); err != nil {
		return err
	}
	config := "scrape_configs:\n- job_name: vxlan\n  scrape_interval: 1s\n  static_configs:\n"
	for _, h := range s.lab.Hosts() {
		config += fmt.Sprintf("  - targets: ['%s:7948']\n    labels: {instance: %s}\n", h.Addr4(), h.Name())
	}
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	s.prometheus = exec.Command("nsenter", "--net="+s.lab.Hosts()[0].Netns(), path,
		"--config.file="+s.dir+"/prometheus.yml",
		"--storage.tsdb.path="+s.dir+"/data", "--web.listen-address=127.0.0.1:9090", "--log.level=error")
	s.prometheus.Stderr = os.Stderr
	return s.prometheus.Start()
}

// end leaves nothing behind.
func (s *story) end() error {
	var errs []error
	if s.prometheus != nil && s.prometheus.Process != nil {
		errs = append(errs, s.prometheus.Process.Kill())
		_ = s.prometheus.Wait() // it was killed
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
