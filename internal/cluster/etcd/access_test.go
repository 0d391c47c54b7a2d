package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// authority issues certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.issue(t, "ca")
	return a
}

// issue makes NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: a.cert == nil, BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer, a.key = cert, key, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(raw); err != nil {
			t.Fatal(err)
		}
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.file(name+".crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
	write(t, a.file(name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey})))
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TLS with client certificates: a host with one is let in, and others are told why not.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.issue(t, "server")
	ours.issue(t, "host")
	theirs.issue(t, "stranger")
	servers := startServers(t, 1, "--cert-file="+ours.file("server.crt"), "--key-file="+ours.file("server.key"),
		"--trusted-ca-file="+ours.file("ca.crt"), "--client-cert-auth")
	with := func(ca *authority, cert, key string) func(*Config) {
		return func(c *Config) {
			c.RequestTimeout, c.CA, c.Cert, c.Key = time.Second, ca.file("ca.crt"), cert, key
		}
	}
	a := startHost(t, 1, servers.urls(), with(ours, ours.file("host.crt"), ours.file("host.key")))
	a.join()
	a.awaitSynced()
	if holder, err := a.claim("a1", "10.0.0.2"); err != nil || holder.ContainerID != "" {
		t.Errorf("got %v, %v", holder, err)
	}
	// It is asked for while other things are, and may take more than one attempt.
	eventually(t, "the host is told that authentication is off", func() bool {
		return strings.Contains(strings.Join(a.Health().Warnings, "\n"), "authentication is off")
	})
	if got := strings.Join(a.Health().Warnings, "\n"); strings.Contains(got, "not encrypted") {
		t.Errorf("warnings: %s", got)
	}
	for _, test := range []struct {
		want   string
		change func(*Config)
	}{
		{"remote error: tls: bad certificate", with(ours, "", "")},
		{"remote error: tls: bad certificate", with(ours, theirs.file("stranger.crt"), theirs.file("stranger.key"))},
		{"certificate signed by unknown authority", with(theirs, ours.file("host.crt"), ours.file("host.key"))},
		{"no such file or directory", with(ours, ours.file("none.crt"), ours.file("host.key"))},
		{"private key does not match public key", with(ours, ours.file("host.crt"), theirs.file("stranger.key"))},
	} {
		h := startHost(t, 2, servers.urls(), test.change)
		h.join()
		eventually(t, "the host is told "+test.want, func() bool { return strings.Contains(h.Health().Problem, test.want) })
		h.stop()
	}
}

// Users: a role that may only touch the prefix is enough, and a host whose user may not is told so.
func TestUsersAndRoles(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	enableAuth(t, c)
	password := filepath.Join(t.TempDir(), "password")
	write(t, password, "secret\n")
	wrong := filepath.Join(t.TempDir(), "wrong")
	write(t, wrong, "guess\n")
	as := func(user, file string) func(*Config) {
		return func(c *Config) { c.RequestTimeout, c.User, c.PasswordFile = time.Second, user, file }
	}
	a, b := startHost(t, 1, servers.urls(), as("vxlan", password)), startHost(t, 2, servers.urls(), as("vxlan", password))
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder.ContainerID != "a1" {
		t.Errorf("got %v, %v", holder, err)
	}
	if got := a.Health(); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "not encrypted") {
		t.Errorf("got %+v", got)
	}
	for want, change := range map[string]func(*Config){
		"authentication failed":                            as("vxlan", wrong),
		"may not read or change all keys below /vxlan/v1/": as("other", password),
		"etcdserver: user name is empty":                   as("", ""),
	} {
		h := startHost(t, 3, servers.urls(), change)
		h.join()
		eventually(t, "the host is told "+want, func() bool { return strings.Contains(h.Health().Problem, want) })
		if _, err := h.claim("c1", "10.0.0.3"); err == nil {
			t.Errorf("%s, and an address is claimed", want)
		}
		h.stop()
	}
}

// enableAuth makes users as docs/user/etcd.md does.
func enableAuth(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	steps := []func() error{
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.RoleAdd(ctx, "vxlan"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "vxlan", "/vxlan/v1/", clientv3.GetPrefixRangeEnd("/vxlan/v1/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserAdd(ctx, "vxlan", "secret"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "vxlan", "vxlan"); return err },
		func() error { _, err := c.UserAdd(ctx, "other", "secret"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// Who heeds the warning that authentication is off is not warned any more.
func TestAuthenticationIsSwitchedOn(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	a := startHost(t, 1, servers.urls(), func(c *Config) { c.authInterval = 200 * time.Millisecond })
	warns := func() bool { return strings.Contains(strings.Join(a.Health().Warnings, "\n"), "authentication is off") }
	eventually(t, "it is said that authentication is off", warns)
	enableAuth(t, c)
	eventually(t, "it is not said any more", func() bool { return !warns() })
}
