package enrol

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestJoin(t *testing.T) {
	r := newRig(t)
	token, j := r.token(), r.joiner("host-b")
	s := j.enter(token)
	if s.Offer.Host != "host-a" || s.Offer.Addr != r.addr.Addr() || s.Offer.Joiner != s.Self || s.Offer.Done {
		t.Errorf("offered %+v", s.Offer)
	}
	sides, err := s.Probe(t.Context(), s.PathSpecs(1400)[0], &fakePath{report: goodReport}, 1400)
	if err != nil || sides.Theirs != goodReport {
		t.Errorf("probed %+v, %v", sides, err)
	}
	if spec := r.issuer.specs[0]; spec.MTU != 1400 || spec.VNI == 0 || spec.Peer != s.Self || spec.Self != r.addr.Addr() {
		t.Errorf("the issuer was to try %+v", spec)
	}
	if f := sides.Findings(); len(f) != 1 || f[0].Fatal || !strings.Contains(f[0].Text, "MTU 1400, that of host-a (127.76.0.1) 1500") {
		t.Errorf("found %+v", f)
	}
	g, err := s.Take()
	if err != nil || g.Keys != clusterKey+"\n" || len(g.Networks) != 1 || g.Networks[0].Name != "mynet" {
		t.Errorf("granted %+v, %v", g, err)
	}
	if info := r.store.List()[0]; !info.Pending || !strings.HasPrefix(info.UsedBy, "host-b (127.") {
		t.Errorf("before it is confirmed: %+v", info)
	}
	if err := s.Confirm(); err != nil {
		t.Error(err)
	}
	if info := r.store.List()[0]; info.Pending || info.UsedBy == "" {
		t.Errorf("afterwards: %+v", info)
	}
	r.stop()
	if r.issuer.paths != 0 {
		t.Errorf("%d paths are left open", r.issuer.paths)
	}
	if log := r.log.String(); !strings.Contains(log, "a host has joined by a token") || strings.Contains(log, clusterKey) {
		t.Errorf("logged %s", log)
	}
}

// Whatever step a join is interrupted at, and whether the issuer restarts meanwhile, the same host
// can run it again with the same token. Once it has the key, nobody else can.
func TestJoinInterruptedAtEachStep(t *testing.T) {
	for steps := range allSteps + 1 {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("after step %d, issuer restarted: %v", steps, restarted), func(t *testing.T) {
				r := newRig(t)
				token, j := r.token(), r.joiner("host-b")
				if err := j.join(token, steps); err != nil {
					t.Fatal(err)
				}
				if restarted {
					r.restart()
				}
				if err := r.joiner("thief").join(token, 0); (err != nil) != (steps >= 2) {
					t.Errorf("another host: %v", err)
				}
				s := j.enter(token)
				if s.Offer.Done != (steps == allSteps) {
					t.Errorf("it is said that the host is done: %v", s.Offer.Done)
				}
				if _, err := s.Take(); (err != nil) != s.Offer.Done {
					t.Errorf("the key again: %v", err)
				}
				s.Close()
				if steps < allSteps {
					if err := j.join(token, allSteps); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// It may be run again only so often: somebody who can make a host start again and again does not
// make the issuer hand out keys for ever.
func TestInterruptedJoinIsBounded(t *testing.T) {
	r := newRig(t)
	token := r.token()
	id := token.Fingerprint.ID()
	v := visitor{secret: token.Secret, joiner: NewSecret(), host: "host-b", addr: r.addr.Addr()}
	for i := range maxDeliveries {
		if err := r.store.reserveFor(id, v); err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
	}
	if err := r.store.reserveFor(id, v); err == nil || !strings.Contains(err.Error(), "too often") {
		t.Errorf("got %v", err)
	}
}

// Of several hosts with one token one gets the key, and the others hear of it.
func TestTokenIsForOneHost(t *testing.T) {
	r := newRig(t)
	token := r.token()
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		j := r.joiner(fmt.Sprint("host-", i))
		group.Go(func() { errs[i] = j.join(token, allSteps) })
	}
	group.Wait()
	joined := 0
	for i, err := range errs {
		if err == nil {
			joined++
		} else if !strings.Contains(err.Error(), "the token was used from host-") {
			t.Errorf("host-%d: %v", i, err)
		}
	}
	if joined != 1 {
		t.Errorf("%d hosts have joined", joined)
	}
}

func TestStolenTokenIsTold(t *testing.T) {
	r := newRig(t)
	token := r.token()
	if err := r.joiner("thief").join(token, 2); err != nil { // it does not even say that it has the key
		t.Fatal(err)
	}
	r.clock.pass(90 * time.Second)
	err := r.joiner("host-b").join(token, 0)
	if err == nil || !strings.Contains(err.Error(), "was used from thief (127.0.0.1) 1m30s ago") || !strings.Contains(err.Error(), "key rotate") {
		t.Errorf("the host that it was for is told: %v", err)
	}
	// Also when it has expired meanwhile.
	r.clock.pass(DefaultTTL)
	if err := r.joiner("host-b").join(token, 0); err == nil || !strings.Contains(err.Error(), "was used from thief") {
		t.Errorf("a day later: %v", err)
	}
	r.stop()
	if !strings.Contains(r.log.String(), "was not let in") {
		t.Errorf("the issuer logs %s", r.log)
	}
}

func TestTokenExpires(t *testing.T) {
	tests := []struct {
		name   string
		change func(*fakeClock)
		want   string // "": it is good
	}{
		{"a moment before", func(c *fakeClock) { c.pass(DefaultTTL - time.Second) }, ""},
		{"in time", func(c *fakeClock) { c.pass(DefaultTTL + time.Minute) }, "expired 1m0s ago"},
		{"although the clock was set back", func(c *fakeClock) { c.pass(DefaultTTL + time.Minute); c.setWall(-DefaultTTL) }, "expired 1m0s ago"},
		{"not because the clock was set", func(c *fakeClock) { c.setWall(10 * DefaultTTL) }, ""},
		{"not by a reboot", func(c *fakeClock) { c.pass(time.Hour); c.reboot("second") }, ""},
		{"across a reboot", func(c *fakeClock) { c.pass(DefaultTTL - time.Minute); c.reboot("second"); c.pass(2 * time.Minute) }, "expired 1m0s ago"},
		{"at a reboot after which the clock is before its creation", func(c *fakeClock) { c.reboot("second"); c.setWall(-time.Minute) }, "no such token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			token := r.token()
			tt.change(r.clock)
			r.restart()
			err := r.joiner("host-b").join(token, allSteps)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if at := r.store.Outstanding(); (len(at) == 0) != (tt.want != "") {
				t.Errorf("the port is open at %v", at)
			}
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	r := newRig(t)
	good := r.token()
	for _, tt := range []struct {
		name  string
		alter func(*Token)
		want  string
	}{
		{"another secret", func(t *Token) { t.Secret[0] ^= 1 }, "with another secret: it was altered"},
		{"a fingerprint of no token", func(t *Token) { t.Fingerprint[0] ^= 1 }, "no such token any more"},
		{"a fingerprint whose end is altered", func(t *Token) { t.Fingerprint[15] ^= 1 }, "is not the host that issued the token; nothing was sent"},
		{"a port that nobody listens on", func(t *Token) { t.Port = 1 }, "nobody listens there: the token has expired or was revoked"},
	} {
		altered := good
		tt.alter(&altered)
		// As somebody would who knows how tokens are made: the checksum is right.
		typed, err := ParseToken(altered.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.joiner("host-b").join(typed, allSteps); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := r.joiner("host-b").join(good, allSteps); err != nil {
		t.Errorf("the token is not good any more: %v", err)
	}
}

func TestRevokedToken(t *testing.T) {
	r := newRig(t)
	token, other := r.token(), r.token()
	if _, err := r.store.Revoke("zz"); err == nil || !strings.Contains(err.Error(), "there is no token") {
		t.Errorf("a token that is not there: %v", err)
	}
	if _, err := r.store.Revoke(""); err == nil {
		t.Error("no ID stands for all")
	}
	if _, err := r.store.Revoke(token.Fingerprint.ID()[:6]); err != nil {
		t.Fatal(err)
	}
	if err := r.joiner("host-b").join(token, 0); err == nil || !strings.Contains(err.Error(), "no such token any more") {
		t.Errorf("got %v", err)
	}
	r.restart()
	if list := r.store.List(); len(list) != 1 || list[0].ID != other.Fingerprint.ID() {
		t.Errorf("left %+v", list)
	}
}

// A host with several tokens shows each one's own certificate.
func TestSeveralTokens(t *testing.T) {
	r := newRig(t)
	for i, token := range []Token{r.token(), r.token(), r.token()} {
		if err := r.joiner(fmt.Sprint("host-", i)).join(token, allSteps); err != nil {
			t.Error(err)
		}
	}
}

// Of the token's addresses one is enough.
func TestTokenWithAddressThatIsGone(t *testing.T) {
	r := newRig(t)
	token := r.token()
	token.Addrs = append([]netip.Addr{netip.MustParseAddr("127.0.0.99")}, token.Addrs...)
	if err := r.joiner("host-b").join(token, allSteps); err != nil {
		t.Error(err)
	}
}

// What is on the disk is root's, and does not let anybody in.
func TestSecretIsNotStored(t *testing.T) {
	r := newRig(t)
	token := r.token()
	files, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	inJSON, _ := json.Marshal(token.Secret[:])
	for _, spelling := range []string{string(token.Secret[:]), encoding.EncodeToString(token.Secret[:]), fmt.Sprintf("%x", token.Secret[:]), strings.Trim(string(inJSON), `"=`)} {
		if strings.Contains(string(data), spelling) {
			t.Errorf("the secret is in %s", data)
		}
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A file that was cut off is named, and the others are used.
	if err := os.WriteFile(filepath.Join(r.dir, "00000000.json"), data[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(r.dir, r.clock)
	if err == nil || !strings.Contains(err.Error(), "00000000.json") || len(s.List()) != 1 {
		t.Errorf("%v; has %d", err, len(s.List()))
	}
}

func TestLimitsOnTokens(t *testing.T) {
	r := newRig(t)
	at := []netip.Addr{r.addr.Addr()}
	for _, ttl := range []time.Duration{0, -time.Hour, time.Second, 10000 * time.Hour} {
		if _, err := r.store.Create(at, 1, ttl); err == nil || !strings.Contains(err.Error(), "must be good for") {
			t.Errorf("good for %v: %v", ttl, err)
		}
	}
	if _, err := r.store.Create(nil, 1, time.Hour); err == nil {
		t.Error("a token without an address")
	}
	for range maxTokens {
		if _, err := r.store.Create(at, 1, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.store.Create(at, 1, time.Hour); err == nil || !strings.Contains(err.Error(), "token revoke") {
		t.Errorf("one more: %v", err)
	}
	// Old ones make room.
	r.clock.pass(time.Hour + keepExpired + time.Minute)
	if _, err := r.store.Create(at, 1, time.Hour); err != nil || len(r.store.List()) != 1 {
		t.Errorf("later: %v, has %d", err, len(r.store.List()))
	}
}
