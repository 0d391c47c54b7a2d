package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// authInterval is how often it is asked whether authentication is on. Servers note each time in their log
// that a user is unknown.
const authInterval = 10 * time.Minute

// watchAuth finds out whether etcd lets everybody change everything, again and again: somebody may heed the
// warning.
func (p *Plane) watchAuth(ctx context.Context, client *clientv3.Client) {
	for ctx.Err() == nil {
		p.checkAuth(ctx, client)
		select {
		case <-time.After(p.cfg.authInterval):
		case <-ctx.Done():
		}
	}
}

// checkAuth finds out whether etcd lets everybody change everything.
func (p *Plane) checkAuth(ctx context.Context, client *clientv3.Client) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		asked, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
		// Servers before 3.5 cannot be asked. If authentication is on, they say something else to a user
		// whom they do not know.
		_, err := client.Auth.Authenticate(asked, "vxlan-authentication-probe", "none")
		cancel()
		if off := errors.Is(err, rpctypes.ErrAuthNotEnabled); off || errors.Is(err, rpctypes.ErrAuthFailed) {
			p.withLock(func() {
				if off != p.authOff {
					p.authOff = off
					p.notifyLocked()
				}
			})
			return
		}
		sleep(ctx, pause)
	}
}
