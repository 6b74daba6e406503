package clock

import (
	"strings"
	"testing"
	"time"
)

// The kernel refuses a time before 1970, from root too, so that nothing is set by a test.
func TestSetRefused(t *testing.T) {
	before := time.Date(1969, time.July, 20, 20, 17, 0, 0, time.UTC)
	if err := (System{}).Set(before); err == nil || !strings.Contains(err.Error(), "set clock to 1969-07-20T20:17:00Z: ") {
		t.Errorf("Set(%v) = %v, want an error that names the time", before, err)
	}
	if age := time.Since((System{}).Now()); age < 0 || age > time.Minute {
		t.Errorf("Now() is %v ago", age)
	}
}
