package daemon

import (
	"fmt"
	"sync"
	"time"
)

// forgiving is how long there must have been peace before an event is told again as if it were the first of its kind.
const forgiving = 10 * time.Minute

// thinner leaves out most of what happens again and again: of each kind of event no. 1, 2, 4, 8 and so on are told. A night of trouble need
// not fill the log.
type thinner struct {
	mutex sync.Mutex
	kinds map[string]*kind
}

// kind is how often something has happened.
type kind struct {
	count int
	last  time.Time
}

// pass tells whether an event is to be told. Two of one type are of one kind.
func (t *thinner) pass(event any) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.kinds == nil {
		t.kinds = make(map[string]*kind)
	}
	name := fmt.Sprintf("%T", event)
	k := t.kinds[name]
	if k == nil || time.Since(k.last) > forgiving {
		k = new(kind)
		t.kinds[name] = k
	}
	k.count++
	k.last = time.Now()
	return k.count&(k.count-1) == 0
}
