package agentapi

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// An agent that is asked again and again, and one that does not run yet, in the end have it.
func TestWait(t *testing.T) {
	var calls atomic.Int32
	path := serve(t, func(_ context.Context, r Request) Response {
		if r.Verb != VerbWait || r.Wait.For != GoalHost || r.Wait.Name != "b" || r.Wait.Timeout <= 0 || r.Wait.Timeout > MaxWait {
			t.Errorf("got %+v", r.Wait)
		}
		if calls.Add(1) < 3 {
			return Response{Missing: "not yet"}
		}
		return Response{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q := WaitRequest{For: GoalHost, Name: "b"}
	if missing, err := Wait(ctx, path, q); missing != "" || err != nil || calls.Load() != 3 {
		t.Errorf("%q is missing, %v; asked %d times", missing, err, calls.Load())
	}
	short, cancelShort := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancelShort()
	if missing, err := Wait(short, filepath.Join(t.TempDir(), "none"), q); missing != ErrNotRunning.Error() || err != nil {
		t.Errorf("without an agent %q is missing, %v", missing, err)
	}
	refused := serve(t, func(context.Context, Request) Response { return Response{Error: "no"} })
	if missing, err := Wait(ctx, refused, q); missing != "" || err == nil || err.Error() != "wait: vxland: no" {
		t.Errorf("refused: %q, %v", missing, err)
	}
}
