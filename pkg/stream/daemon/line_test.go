package daemon

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quietLine is one that tells nobody.
func quietLine() *line { return &line{say: func(string) {}} }

// What fails for less than five seconds is told to nobody; what lasts at once, and then seldom.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		began := time.Now()
		l := &line{say: func(text string) { said = append(said, fmt.Sprintf("%v: %s", time.Since(began), text)) }}
		l.works()
		for range 4 {
			l.fails(errors.New("blip"))
			time.Sleep(time.Second)
			l.look()
		}
		l.works()
		if len(said) > 0 {
			t.Errorf("of four seconds was said: %q", said)
		}
		began = time.Now()
		for i := range 4 * 3600 {
			if i%20 == 0 {
				l.fails(fmt.Errorf("no. %d", i/20))
			}
			time.Sleep(time.Second)
			if trouble, cause := l.look(); trouble != time.Since(began) || cause != fmt.Sprintf("no. %d", i/20) {
				t.Fatalf("after %d s look() = %v, %s", i+1, trouble, cause)
			}
		}
		l.works()
		if trouble, _ := l.look(); trouble != healthy {
			t.Errorf("look() of a line that works = %v, want healthy", trouble)
		}
		const text = ", and it is tried on and on: no. "
		want := []string{
			"5s: nothing of the image has come for 5s" + text + "0", "1m0s: nothing of the image has come for 1m0s" + text + "2",
			"2m0s: nothing of the image has come for 2m0s" + text + "5", "4m0s: nothing of the image has come for 4m0s" + text + "11",
			"8m0s: nothing of the image has come for 8m0s" + text + "23", "16m0s: nothing of the image has come for 16m0s" + text + "47",
			"32m0s: nothing of the image has come for 32m0s" + text + "95", "1h4m0s: nothing of the image has come for 1h4m0s" + text + "191",
			"2h4m0s: nothing of the image has come for 2h4m0s" + text + "371", "3h4m0s: nothing of the image has come for 3h4m0s" + text + "551",
			"4h0m0s: the image comes again, after 4h0m0s in which nothing of it came",
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("what was said differs (-want +got):\n%s", diff)
		}
	})
}

func TestThinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var often thinner
		var told []int
		for i := 1; i <= 20; i++ {
			if often.pass(fileChanged{}) {
				told = append(told, i)
			}
			time.Sleep(forgiving)
		}
		if diff := cmp.Diff([]int{1, 2, 4, 8, 16}, told); diff != "" {
			t.Errorf("told were (-want +got):\n%s", diff)
		}
		if !often.pass(fileBack{}) {
			t.Error("the first of another kind was not told")
		}
		time.Sleep(forgiving + 1)
		if !often.pass(fileChanged{}) {
			t.Error("after a while of peace the next was not told")
		}
	})
}
