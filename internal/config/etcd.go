package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/regfile"
)

// Etcd is how the agent talks to etcd. Without Endpoints it does not.
type Etcd struct {
	Endpoints      []string // the servers' URLs
	CA             string   // file with certificates of those who signed the servers'; "": the system's
	Cert, Key      string   // files with this host's own certificate and key; "": it has none
	User           string   // "": none
	PasswordFile   string
	Prefix         string // of all keys
	DialTimeout    time.Duration
	RequestTimeout time.Duration // after which a claim of addresses has failed
	Lease          time.Duration // after which a host counts as unreachable that gives no sign of life
	// VNIs are those of which a network gets one that is defined without.
	VNIs cluster.VNIRange
}

// rawEtcd is the section [etcd] as the administrator typed it.
type rawEtcd struct {
	Endpoints      []string `toml:"endpoints"`
	CA             string   `toml:"ca"`
	Cert           string   `toml:"cert"`
	Key            string   `toml:"key"`
	User           string   `toml:"user"`
	PasswordFile   string   `toml:"password_file"`
	Prefix         string   `toml:"prefix"`
	DialTimeout    string   `toml:"dial_timeout"`
	RequestTimeout string   `toml:"request_timeout"`
	Lease          string   `toml:"lease"`
	VNIRange       string   `toml:"vni_range"`
}

// etcdDefaults are those of package etcd. The servers of a cluster are three or five. The VNIs are above
// those that people and other programs like to take, and more than a cluster has networks.
var etcdDefaults = Etcd{Prefix: "/vxlan", DialTimeout: 2 * time.Second, RequestTimeout: 3500 * time.Millisecond,
	Lease: 15 * time.Second, VNIs: cluster.VNIRange{First: 10000, Last: 19999}}

const (
	maxEtcdServers = 16
	maxEtcdPrefix  = 128
)

// etcdPrefix is what an administrator can type to etcdctl without quotes.
var etcdPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

// parse parses the section. Without one the result is zero but for the defaults.
func (f rawEtcd) parse() (Etcd, error) {
	c := etcdDefaults
	if reflect.ValueOf(f).IsZero() {
		return c, nil
	}
	c.Endpoints, c.CA, c.Cert, c.Key, c.User, c.PasswordFile = f.Endpoints, f.CA, f.Cert, f.Key, f.User, f.PasswordFile
	errs := []error{f.checkEndpoints(), f.checkAccess()}
	if f.Prefix != "" {
		if c.Prefix = f.Prefix; !etcdPrefix.MatchString(f.Prefix) || len(f.Prefix) > maxEtcdPrefix {
			errs = append(errs, fmt.Errorf(`etcd.prefix %q: must be names of letters, digits, ".", "_" and "-", each with `+
				`a "/" before it, such as "/vxlan", and have at most %d bytes`, f.Prefix, maxEtcdPrefix))
		}
	}
	errs = append(errs, f.parseVNIRange(&c.VNIs))
	for _, t := range []struct {
		name, typed string
		set         *time.Duration
		least, most time.Duration
	}{
		{"dial_timeout", f.DialTimeout, &c.DialTimeout, 100 * time.Millisecond, 30 * time.Second},
		{"request_timeout", f.RequestTimeout, &c.RequestTimeout, time.Second, time.Minute},
		{"lease", f.Lease, &c.Lease, 5 * time.Second, 10 * time.Minute},
	} {
		if t.typed == "" {
			continue
		}
		d, err := time.ParseDuration(t.typed)
		if err != nil || d < t.least || d > t.most {
			errs = append(errs, fmt.Errorf("etcd.%s %q: must be from %v to %v, such as %q", t.name, t.typed, t.least, t.most,
				t.set.String()))
		}
		*t.set = d
	}
	return c, errors.Join(errs...)
}

// parseVNIRange parses the range if there is one.
func (f rawEtcd) parseVNIRange(r *cluster.VNIRange) error {
	if f.VNIRange == "" {
		return nil
	}
	first, last, _ := strings.Cut(f.VNIRange, "-")
	low, lowErr := strconv.ParseUint(first, 10, 24)
	high, highErr := strconv.ParseUint(last, 10, 24)
	if lowErr != nil || highErr != nil || low == 0 || high < low {
		return fmt.Errorf(`etcd.vni_range %q: must be two numbers from 1 to 16777215, the lower first, such as %q`,
			f.VNIRange, vniRangeText(etcdDefaults.VNIs))
	}
	*r = cluster.VNIRange{First: uint32(low), Last: uint32(high)}
	return nil
}

func vniRangeText(r cluster.VNIRange) string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// checkEndpoints checks the servers' URLs.
func (f rawEtcd) checkEndpoints() error {
	if len(f.Endpoints) == 0 {
		return errors.New("etcd.endpoints: is required in the section [etcd], such as " + examples["etcd.endpoints"])
	}
	var errs []error
	if len(f.Endpoints) > maxEtcdServers {
		errs = append(errs, fmt.Errorf("etcd.endpoints: has %d servers, at most %d are allowed", len(f.Endpoints),
			maxEtcdServers))
	}
	for i, e := range f.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" ||
			u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, fmt.Errorf(
				"etcd.endpoints %q: must be https://HOST:PORT or http://HOST:PORT, and nothing behind the port", e))
			continue
		}
		if slices.Contains(f.Endpoints[:i], e) {
			errs = append(errs, fmt.Errorf("etcd.endpoints %q: is repeated", e))
		}
		if isHTTPS(e) != isHTTPS(f.Endpoints[0]) {
			errs = append(errs, fmt.Errorf("etcd.endpoints %q: must be by https as the others, or all by http", e))
		}
	}
	return errors.Join(errs...)
}

func isHTTPS(endpoint string) bool { return strings.HasPrefix(endpoint, "https://") }

// checkAccess checks what lets the host in.
func (f rawEtcd) checkAccess() error {
	var errs []error
	for _, file := range []struct{ name, path string }{
		{"ca", f.CA}, {"cert", f.Cert}, {"key", f.Key}, {"password_file", f.PasswordFile}} {
		if file.path != "" && !filepath.IsAbs(file.path) {
			errs = append(errs, fmt.Errorf("etcd.%s %q: must be an absolute path", file.name, file.path))
		}
		if file.path != "" && file.name != "password_file" && len(f.Endpoints) > 0 && !isHTTPS(f.Endpoints[0]) {
			errs = append(errs, fmt.Errorf("etcd.%s %q: is for servers by https; write https:// in endpoints", file.name,
				file.path))
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		name, lacks := "cert", "key"
		if f.Cert == "" {
			name, lacks = lacks, name
		}
		errs = append(errs, fmt.Errorf("etcd.%s: needs %s too: a certificate and its key", name, lacks))
	}
	if (f.User == "") != (f.PasswordFile == "") {
		name, lacks := "user", "password_file"
		if f.User == "" {
			name, lacks = lacks, name
		}
		errs = append(errs, fmt.Errorf("etcd.%s: needs %s too", name, lacks))
	}
	return errors.Join(errs...)
}

// checkFiles checks the files that the section names.
func (c Etcd) checkFiles() error {
	var errs []error
	if c.CA != "" {
		pem, err := regfile.ReadText(c.CA)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s: has no certificate", c.CA)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("etcd.ca: %w", err))
		}
	}
	if c.Cert != "" && c.Key != "" {
		errs = append(errs, c.checkPair())
	}
	if c.PasswordFile != "" {
		errs = append(errs, checkSecret("password_file", c.PasswordFile))
	}
	return errors.Join(errs...)
}

// checkPair checks the host's certificate and key.
func (c Etcd) checkPair() error {
	secretErr := checkSecret("key", c.Key)
	cert, err := regfile.ReadText(c.Cert)
	if err != nil {
		return errors.Join(secretErr, fmt.Errorf("etcd.cert: %w", err))
	}
	key, err := regfile.ReadText(c.Key)
	if err != nil {
		return secretErr
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return errors.Join(secretErr, fmt.Errorf("etcd.cert %s, key %s: %w", c.Cert, c.Key, err))
	}
	return secretErr
}

// checkSecret checks that a file can be read, and not by everybody.
func checkSecret(setting, path string) error {
	if _, err := regfile.ReadText(path); err != nil {
		return fmt.Errorf("etcd.%s: %w", setting, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("etcd.%s: %w", setting, err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("etcd.%s %s: every user may read it (mode %04o); run `chmod 600 %s`", setting, path,
			info.Mode().Perm(), path)
	}
	return nil
}
