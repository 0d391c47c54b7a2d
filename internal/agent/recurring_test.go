package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What comes and goes every few seconds is news once, and over when it stays away.
func TestRecurringTextsAreNewsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recurring
		var news, over []string
		update := func(found ...string) {
			appeared, gone := r.Update(found)
			news, over = append(news, appeared...), append(over, gone...)
		}
		for range 20 {
			update("a", "b")
			time.Sleep(10 * time.Second)
			update("a")
			time.Sleep(20 * time.Second)
		}
		if want := []string{"a", "b"}; !slices.Equal(news, want) || len(over) > 0 {
			t.Errorf("news %q, over %q", news, over)
		}
		update("a")
		time.Sleep(recurringGap / 2)
		update("a")
		if want := []string{"b"}; !slices.Equal(over, want) || len(r.seen) != 1 {
			t.Errorf("over %q, of which %d are remembered", over, len(r.seen))
		}
		update("b")
		if want := []string{"a", "b", "b"}; !slices.Equal(news, want) {
			t.Errorf("news %q", news)
		}
	})
}
