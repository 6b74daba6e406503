package plan

import (
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/options"
)

func setDollyOptions(p *Plan, w cmdline.Param) error {
	p.reading.dolly = true
	return options.Apply(&p.Image.Dolly, w.Value)
}

// ringWait is how long a ring is waited for where there is a mirror to turn to, and rd.kiwi.live.dolly_options= does not say how long.
const ringWait = 2 * time.Minute

// finishDolly tells of options for a ring where there can be none, and sees to it that a ring that does not come is not waited for while there is a
// mirror.
func (p *Plan) finishDolly() {
	switch ring := slices.ContainsFunc(p.Image.URLs, fetch.URL.Pushed); {
	case ring && len(p.Image.URLs)+len(p.Paths) > 1 && p.Image.Dolly.Wait == 0:
		p.Image.Dolly.Wait = ringWait
	case p.reading.dolly && !ring && len(p.Paths) == 0: // DHCP may name one
		p.warnf("rd.kiwi.live.dolly_options has no effect: root= names no ring, live:dolly://")
	}
}
