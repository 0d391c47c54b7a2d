package labtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"vxlan-driver/lab"
)

// authority signs certificates, which end with the day.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := new(authority)
	raw, key := a.sign(t, "authority", nil)
	var err error
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	a.key, a.pem = key, encodePEM("CERTIFICATE", raw)
	return a
}

// sign makes a certificate with its key. The first one is the authority's own.
func (a *authority) sign(t testing.TB, name string, addr net.IP) (cert []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		// Hosts of a lab may have another time of day.
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: a.cert == nil, BasicConstraintsValid: true,
	}
	if addr != nil {
		template.IPAddresses = []net.IP{addr}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	cert, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// install puts the authority's certificate, and a new NAME.crt with NAME.key, into a directory of a host.
func (a *authority) install(t testing.TB, h *lab.Host, dir, name string, addr net.IP) {
	t.Helper()
	cert, key := a.sign(t, name, addr)
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{
		"ca.crt": a.pem, name + ".crt": encodePEM("CERTIFICATE", cert), name + ".key": encodePEM("EC PRIVATE KEY", raw),
	} {
		if err := h.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func encodePEM(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}
