package enrol

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// newCertificate makes a certificate for one token. Its dates and names mean nothing: it is known
// by its fingerprint, and ends with the token.
func newCertificate() (der, key []byte, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1),
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} // never (RFC 5280, section 4.1.2.5)
	if der, err = x509.CreateCertificate(rand.Reader, &template, &template, public, private); err == nil {
		key, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	return der, key, nil
}

func loadCertificate(der, key []byte) (*tls.Certificate, error) {
	private, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate's key: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// fingerprintOf returns a certificate's fingerprint.
func fingerprintOf(der []byte) (Fingerprint, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return Fingerprint{}, err
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Fingerprint(sum[:]), nil
}

// serverName is what the joining host asks for, so that the issuer shows the token's certificate.
// It is sent in the clear, and no secret.
func serverName(id string) string { return id + nameSuffix }

const nameSuffix = ".join.vxlan"

// clientConfig accepts one certificate only. TLS 1.3 proves that the other end has its key before
// anything is sent.
func clientConfig(want Fingerprint) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: serverName(want.ID()),
		// There is no authority to ask: VerifyConnection knows the only right certificate.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errWrongHost
			}
			got, err := fingerprintOf(s.PeerCertificates[0].Raw)
			if err != nil || got != want {
				return errWrongHost
			}
			return nil
		},
	}
}

// errWrongHost says that another host answers than the one that issued the token.
var errWrongHost = errors.New("who answers there is not the host that issued the token; nothing was sent. " +
	"Either somebody is between the hosts, or the address is another host's by now")
