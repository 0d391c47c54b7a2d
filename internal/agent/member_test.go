package agent

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
)

// The first container of a host waits for other hosts to be found and for their records, but not
// for ever. Where the agent cannot talk at all, it gets an error.
func TestWaitForPeers(t *testing.T) {
	portTaken := errors.New("address in use")
	tests := []struct {
		name    string
		synced  time.Duration // when the plane is; 0: never
		members int
		runErr  error
		kind    cluster.Kind
		took    time.Duration
		want    string
	}{
		{"alone", time.Millisecond, 1, nil, cluster.Kind{}, time.Millisecond, ""},
		{"found", 9 * time.Millisecond, 2, nil, cluster.Kind{}, 9 * time.Millisecond, ""},
		{"never", 0, 2, nil, cluster.Kind{}, syncTimeout, ""},
		{"many packets lost", 4 * time.Second, 1, nil, cluster.Kind{}, 4 * time.Second, ""},
		{"no server answers", 0, 1, nil, cluster.Kind{HasServers: true}, notRunningTimeout, ""},
		{"servers answer late", 4 * time.Second, 2, nil, cluster.Kind{HasServers: true}, 4 * time.Second, ""},
		{"port taken", 0, 1, portTaken, cluster.Kind{}, notRunningTimeout, "talk to other hosts: address in use"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeCluster()
			c.setMembers(tt.members)
			m := &clusterMember{Plane: c, kind: tt.kind}
			if tt.runErr != nil {
				m.runErr.Store(&tt.runErr)
			}
			if tt.synced > 0 {
				time.AfterFunc(tt.synced, c.setSynced)
			}
			began := time.Now()
			err := m.WaitForPeers(t.Context())
			if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
				t.Errorf("%s: got %v", tt.name, err)
			}
			if took := time.Since(began); took != tt.took {
				t.Errorf("%s: took %v", tt.name, took)
			}
		})
	}
}
