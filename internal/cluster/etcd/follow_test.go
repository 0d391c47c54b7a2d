package etcd

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// fakeServer says what a test wants a follower to hear.
type fakeServer struct {
	clientv3.KV
	clientv3.Watcher
	read        bool
	watchedFrom chan int64 // revisions
	say         chan clientv3.WatchChan
}

func (s *fakeServer) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	revision := int64(100) // later
	if !s.read {
		s.read, revision = true, 1
	}
	return &clientv3.GetResponse{Header: &pb.ResponseHeader{Revision: revision}}, nil
}

func (s *fakeServer) Watch(_ context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	s.watchedFrom <- clientv3.OpGet(key, opts...).Rev()
	return <-s.say
}

// A watch that ends goes on behind the last change that came. What a server says of its own revision may be
// ahead of that: the changes up to there would be lost.
func TestWatchGoesOnBehindTheLastChange(t *testing.T) {
	p, err := New(Config{HostID: cluster.HostID{1}, HostName: func() string { return "" },
		Endpoints: []string{"http://x"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{watchedFrom: make(chan int64), say: make(chan clientv3.WatchChan)}
	client := clientv3.NewCtxClient(t.Context())
	client.KV, client.Watcher = s, s
	f := &follower{plane: p, client: client, prefix: "x", replace: func([]keyValue) {}, apply: func([]keyValue) {}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go f.Run(ctx)
	said := func(header int64, revisions ...int64) clientv3.WatchChan {
		response := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: header}}
		for _, r := range revisions {
			response.Events = append(response.Events, &clientv3.Event{Type: clientv3.EventTypePut,
				Kv: &mvccpb.KeyValue{Key: []byte("x"), Value: []byte("{}"), ModRevision: r}})
		}
		c := make(chan clientv3.WatchResponse, 1)
		c <- response
		close(c)
		return c
	}
	for _, step := range []struct {
		from int64
		said clientv3.WatchChan
	}{
		{2, said(9, 4, 5)}, // 1 was read
		{6, said(9)},       // all up to 9 has come
		{10, said(12, 10)},
		{11, said(12, 11)},
	} {
		select {
		case from := <-s.watchedFrom:
			if from != step.from {
				t.Fatalf("watches from revision %d, want %d", from, step.from)
			}
		case <-ctx.Done():
			t.Fatal("nothing is watched")
		}
		s.say <- step.said
	}
}

// What this host knows is as new as the oldest of its networks. A watch that has nothing to say is not behind.
func TestRevisionsBehind(t *testing.T) {
	quiet, busy := boottime.Now().Add(-2*quietTime), boottime.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		isLost           bool
		all              []progress
		revision, behind int64
	}{
		"nothing is followed": {false, nil, 10, 0},
		"quiet":               {false, []progress{{3, quiet, true}, {9, quiet, true}}, 10, 0},
		"still hearing":       {false, []progress{{8, busy, true}, {3, quiet, true}}, 8, 2},
		"one has no watch":    {false, []progress{{8, busy, true}, {3, quiet, false}}, 3, 7},
		"etcd is away":        {true, []progress{{10, quiet, true}, {9, quiet, true}}, 9, 1},
		"nothing was read":    {false, []progress{{}}, 0, 10},
	} {
		p := &Plane{newest: mark{Revision: 10}, contact: contact{isLost: test.isLost}, followers: make(map[*follower]bool)}
		for _, f := range test.all {
			p.followers[&follower{progress: f}] = true
		}
		if revision, behind := p.progressLocked(); revision != test.revision || behind != test.behind {
			t.Errorf("%s: revision %d, %d behind", name, revision, behind)
		}
	}
}

// A change that was made before somebody deleted the key says nothing of what is there now, also where there was
// nothing to change. Nor is anything kept of keys that are gone for good.
func TestOlderNewsOfOwnKeysDoNotCount(t *testing.T) {
	keys := record.NewKeys("/x")
	p := &Plane{cfg: Config{HostID: cluster.HostID{1}}, keys: keys, wakePublisher: make(chan struct{}, 1),
		changed: make(chan struct{})}
	v := newNetworkView()
	c := change{recordKey: recordKey{blue, "c1"}, value: "wanted"}
	hear := func(value string, revision int64) {
		p.applyNetworkLocked(blue, v, []keyValue{{keys.Endpoint(blue, p.cfg.HostID, "c1"), []byte(value), revision}})
	}
	want := func(step, value string, revision int64) {
		t.Helper()
		if own := v.own["c1"]; own.value != value || own.revision != revision {
			t.Errorf("%s: got %+v", step, own)
		}
	}
	v.noteChange(c, outcome{revision: 5, asOf: 5})
	hear("wanted", 5)
	want("written", "wanted", 5)
	v.own["c2"] = ownRecord{value: "x", revision: 12} // not told yet
	hear("", 8)
	v.noteChange(c, outcome{asOf: 7}) // was looked at before
	want("deleted meanwhile", "", 0)
	v.noteChange(c, outcome{revision: 9, asOf: 9})
	v.noteChange(change{recordKey: c.recordKey}, outcome{revision: 10, asOf: 10})
	hear("wanted", 9)
	want("an older change comes", "", 10)
	hear("", 10)
	if _, ok := v.own["c1"]; ok {
		t.Error("something is kept of a key that is gone")
	}
	v.noteChange(change{recordKey: recordKey{blue, "c2"}}, outcome{revision: 13, asOf: 13})
	p.applyNetworkLocked(blue, v, []keyValue{{keys.Endpoint(blue, p.cfg.HostID, "c3"), []byte("x"), 14}})
	p.applyNetworkLocked(blue, v, []keyValue{{keys.Endpoint(blue, p.cfg.HostID, "c2"), nil, 13}})
	if _, ok := v.own["c2"]; ok {
		t.Error("something is kept of another key that is gone")
	}
}
