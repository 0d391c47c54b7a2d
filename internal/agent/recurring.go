package agent

import "time"

// recurringGap is how long something must be away until it counts as over. A host whose only
// container is restarted again and again comes and goes meanwhile, with all that is wrong with it.
const recurringGap = time.Minute

// recurring tells what is new of texts that are found again and again, so that each is logged once.
// The zero value has found none.
type recurring struct {
	seen map[string]time.Time // when each text was found last
}

// Update takes what is found now. It returns what was not found lately, and what has not been found
// for a while.
func (r *recurring) Update(found []string) (appeared, gone []string) {
	if r.seen == nil {
		r.seen = make(map[string]time.Time)
	}
	now := time.Now()
	for _, text := range found {
		if _, known := r.seen[text]; !known {
			appeared = append(appeared, text)
		}
		r.seen[text] = now
	}
	for text, at := range r.seen {
		if now.Sub(at) >= recurringGap {
			gone = append(gone, text)
			delete(r.seen, text)
		}
	}
	return appeared, gone
}
