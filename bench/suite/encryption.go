package suite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
	"vxlan-driver/bench/traffic"
	"vxlan-driver/lab"
)

const (
	systemEncrypted       = "wireguard"
	systemWireGuard       = "WireGuard alone"
	systemInside          = "VXLAN inside WireGuard"
	systemDockerEncrypted = "Docker overlay, encrypted"
)

// measureEncryption measures an encrypted network, and what a user would set up by hand instead.
func (s *Suite) measureEncryption(ctx context.Context) (r Result, err error) {
	systems := []*system{
		{name: systemEncrypted, prepare: prepareEncrypted}, {name: systemWireGuard, prepare: prepareWireGuard},
		{name: systemInside, prepare: prepareInside}, {name: systemVXLAN, prepare: prepareVXLAN},
		{name: systemUnderlay, prepare: prepareUnderlay},
	}
	if r, err = s.measureEncryptedTraffic(ctx, systems); err != nil {
		return r, err
	}
	starts, err := s.measureEncryptedStarts(ctx)
	r.Comparisons, r.Tables = append(r.Comparisons, starts.Comparisons...), append(r.Tables, starts.Tables...)
	return r, err
}

func (s *Suite) measureEncryptedTraffic(ctx context.Context, systems []*system) (r Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	docker := &system{name: systemDockerEncrypted, prepare: prepareDockerEncrypted}
	l, err := s.startLab(ctx, "", 2*len(systems)+2, s.Agent)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	hosts := l.Hosts()
	why := missingESP(ctx, hosts[len(hosts)-1])
	if why == "" { // its tree is larger
		if err := l.Close(); err != nil {
			return r, err
		}
		if l, err = s.startLab(ctx, lab.SuiteDocker, 2*len(systems)+2, s.Agent); err != nil {
			return r, err
		}
		hosts, systems = l.Hosts(), append(systems, docker)
	}
	for i, system := range systems {
		if err := system.startServer(ctx, hosts[2*i], hosts[2*i+1]); err != nil {
			return r, err
		}
	}
	if err := s.sendAll(ctx, systems); err != nil {
		return r, err
	}
	return encryptionResult(systems, why), nil
}

// missingESP tries what Docker's encrypted overlay asks of the kernel, and returns what it lacks, or "".
func missingESP(ctx context.Context, h *lab.Host) string {
	out, err := h.Sh(ctx, `exec 2>&1; ip xfrm state add src 198.18.0.1 dst 198.18.0.2 proto esp spi 1 \
		aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 64 && ip xfrm state flush`)
	if err == nil {
		return ""
	}
	return strings.TrimSpace(out + " " + err.Error())
}

func encryptionResult(systems []*system, noDocker string) (r Result) {
	for _, theirs := range systems[1:] {
		all := compareSystems(systems[0], theirs, encryptionTargets(theirs.name))
		for i := range all {
			all[i].Quick = nil // those are for networks in plaintext
		}
		r.Comparisons = append(r.Comparisons, all...)
		r.Tables = append(r.Tables, encryptedTable("Against "+theirs.name, all))
	}
	if noDocker != "" {
		r.Tables = append(r.Tables, report.Table{Notes: []string{"Docker's encrypted overlay was not measured, since this " +
			"kernel has no IPsec: " + noDocker}})
	}
	return r
}

// encryptedTable compares encrypted networks with something else.
func encryptedTable(title string, all []Comparison, notes ...string) report.Table {
	t := compareTable(title, all, notes...)
	t.Head = slices.Clone(t.Head)
	t.Head[1] = "encrypted"
	return t
}

// encryptionTargets ask for the speed of WireGuard by itself.
func encryptionTargets(name string) trafficTargets {
	switch name {
	case systemWireGuard:
		return trafficTargets{rates: map[traffic.Kind]*stats.Bound{traffic.Stream: atLeast(0.9), traffic.Echo: atLeast(0.9)}}
	case systemInside:
		return trafficTargets{rates: map[traffic.Kind]*stats.Bound{traffic.Stream: atLeast(3)}}
	}
	return trafficTargets{}
}

// prepareEncrypted creates an encrypted network, and waits until IP packets need no VXLAN header.
func prepareEncrypted(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	if from, to, err = runVXLAN(ctx, client, server, "--opt encryption=wireguard"); err != nil {
		return from, to, err
	}
	for _, h := range []*lab.Host{client, server} {
		if err := awaitStraight(ctx, h); err != nil {
			return from, to, fmt.Errorf("wait for IP packets to go straight into WireGuard on %s: %w", h.Name(), err)
		}
	}
	return from, to, nil
}

func awaitStraight(ctx context.Context, h *lab.Host) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for ; ; time.Sleep(100 * time.Millisecond) {
		status, err := askAgent(h)
		if err == nil && strings.Contains(status, `"straight":true`) {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err(), errors.New(status))
		}
	}
}

// askAgent returns the status of a host's agent, as JSON.
func askAgent(h *lab.Host) (status string, err error) {
	conn, err := net.Dial("unix", h.Path("/run/vxlan/vxland.sock"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, `{"verb":"status"}`+"\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// prepareDockerEncrypted is Docker's overlay with `--opt encrypted`.
func prepareDockerEncrypted(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	return prepareDockerOverlay(ctx, client, server, "--opt encrypted")
}

// measureEncryptedStarts measures netavark's setup of encrypted networks beside others.
func (s *Suite) measureEncryptedStarts(ctx context.Context) (r Result, err error) {
	scenarios := []*scenario{
		{driver: driverVXLAN, encrypted: true, remotes: 3}, {driver: driverVXLAN, remotes: 3},
		{driver: driverVXLAN, encrypted: true, otherContainers: 1, remotes: 3},
		{driver: driverVXLAN, otherContainers: 1, remotes: 3},
	}
	l, err := s.startLab(ctx, "", len(scenarios), s.Agent)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := prepareHosts(ctx, scenarios, l.Hosts(), l.Host("outside")); err != nil {
		return r, err
	}
	const warmUp = 2
	for i := range s.roundCount(20, 15) + warmUp {
		for j := range scenarios {
			sc := scenarios[(i+j)%len(scenarios)]
			if i == warmUp {
				sc.discardWarmUp()
			}
			if err := sc.measureCycle(); err != nil {
				return r, err
			}
		}
	}
	return encryptedStartResult(scenarios), nil
}

// encryptedStartResult compares each scenario with the next one, which is not encrypted.
func encryptedStartResult(scenarios []*scenario) (r Result) {
	for pair := range slices.Chunk(scenarios, 2) {
		label := ", later container"
		if pair[0].otherContainers == 0 {
			label = ", first container"
		}
		c := func(what string, a, b []float64) {
			r.Comparisons = append(r.Comparisons,
				Comparison{What: what + label, Than: "not encrypted", A: a, B: b, Unit: milliseconds})
		}
		c("setup", pair[0].setup, pair[1].setup)
		c("teardown", pair[0].teardown, pair[1].teardown)
	}
	r.Tables = []report.Table{encryptedTable("Container start on an encrypted network", r.Comparisons,
		"Target: at most 2 ms more after the first container.")}
	return r
}

// overlayAddr is the address of one of two hosts in an overlay made by hand.
func overlayAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 88, 0, byte(2 + i)}) }
