package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"vxlan-driver/internal/cluster/etcd/record"
)

// explain says in an administrator's words what etcd's client says.
func (p *Plane) explain(err error) error { return p.cfg.explain(err) }

func (c Config) explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("the user of [etcd] may not read or change all keys below %s: %w; grant its role that prefix",
			record.NewKeys(c.Prefix).All(), err)
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w; check user and password_file in [etcd] of /etc/vxlan/vxland.toml", err)
	case isTransient(err):
		return errors.New(c.findReason(err))
	}
	return err
}

// probeTimeout is how long it is tried why a server does not answer. A container's start waits for it.
const probeTimeout = 500 * time.Millisecond

// findReason finds out why the servers do not answer. The client says at most that time is over.
func (c Config) findReason(err error) string {
	settings, configErr := c.tlsConfig()
	if configErr != nil {
		return configErr.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	reasons := make([]string, len(c.Endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range c.Endpoints {
		wg.Go(func() {
			if err := probe(ctx, endpoint, settings); err != nil {
				reasons[i] = err.Error()
			}
		})
	}
	wg.Wait()
	reasons = slices.DeleteFunc(reasons, func(r string) bool { return r == "" })
	if len(reasons) == 0 {
		return fmt.Sprintf("%v; the servers can be reached, and may have no leader: %s", err, c.servers())
	}
	if reachable := len(c.Endpoints) - len(reasons); reachable > 0 {
		return fmt.Sprintf("%v; %d of %d servers can be reached: %s", err, reachable, len(c.Endpoints),
			strings.Join(reasons, "; "))
	}
	return strings.Join(reasons, "; ")
}

// probe connects to a server, and returns why it cannot.
func probe(ctx context.Context, endpoint string, settings *tls.Config) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil || settings == nil {
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	defer conn.Close()
	settings = settings.Clone()
	settings.ServerName, settings.NextProtos = u.Hostname(), []string{"h2"}
	secured := tls.Client(conn, settings)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%s: %w", endpoint, err)
	}
	// With TLS 1.3 a server says only now that it does not take this host's certificate.
	deadline, _ := ctx.Deadline()
	if err := secured.SetReadDeadline(deadline); err != nil {
		return err
	}
	if _, err := secured.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: %w", endpoint, err)
	}
	return nil
}
