package layout_test

import (
	"fmt"
	"testing"

	"mediarooms.dev/mediarooms/recorder/layout"
)

// The grids of OpenVidu's layout page, in a picture of 1280x720.
func TestTheGridIsOpenVidus(t *testing.T) {
	for n, want := range map[int]struct {
		columns, rows, width, height int
	}{
		1: {1, 1, 1280, 720}, 2: {2, 1, 640, 720}, 3: {3, 1, 426, 639}, 4: {2, 2, 640, 360}, 5: {3, 2, 426, 360}, 6: {3, 2, 426, 360},
		7: {4, 2, 320, 360}, 8: {4, 2, 320, 360}, 9: {3, 3, 426, 240}, 10: {5, 2, 256, 360}, 11: {4, 3, 320, 240}, 12: {4, 3, 320, 240},
		16: {4, 4, 320, 180},
	} {
		cells := layout.BestFit(n, 1280, 720)
		if len(cells) != n {
			t.Fatalf("%d videos have %d cells", n, len(cells))
		}
		columns, rows := 0, map[int]bool{}
		for _, cell := range cells {
			if cell.Y == cells[0].Y {
				columns++
			}
			rows[cell.Y] = true
			if cell.Width != want.width || cell.Height != want.height {
				t.Errorf("of %d videos one has %dx%d, want %dx%d", n, cell.Width, cell.Height, want.width, want.height)
			}
		}
		if columns != want.columns || len(rows) != want.rows {
			t.Errorf("%d videos are in %dx%d, want %dx%d", n, columns, len(rows), want.columns, want.rows)
		}
	}
}

func TestShortRowsAreCentredAndGrow(t *testing.T) {
	for _, c := range []struct {
		n, width, height int
		want             string
	}{
		{0, 1280, 720, "[]"},
		{1, 1280, 720, "[{0 0 1280 720}]"},
		{3, 1280, 720, "[{1 40 426 639} {427 40 426 639} {853 40 426 639}]"},
		{5, 1280, 720, "[{1 0 426 360} {427 0 426 360} {853 0 426 360} {214 360 426 360} {640 360 426 360}]"},
		{1, 640, 1280, "[{0 160 640 960}]"},
		{3, 900, 900, "[{0 0 450 450} {450 0 450 450} {225 450 450 450}]"},
		{5, 1000, 1000, "[{0 0 500 333} {500 0 500 333} {0 333 500 333} {500 333 500 333} {249 666 501 334}]"},
		{3, 200, 1999, "[{0 549 200 300} {0 849 200 300} {0 1149 200 300}]"},
		{7, 300, 960, "[{0 0 150 225} {150 0 150 225} {0 225 150 225} {150 225 150 225} {0 450 150 225} {150 450 150 225} {55 675 190 285}]"},
	} {
		if got := fmt.Sprint(layout.BestFit(c.n, c.width, c.height)); got != c.want {
			t.Errorf("%d videos in %dx%d are %s, want %s", c.n, c.width, c.height, got, c.want)
		}
	}
}

func TestCellsLieInThePictureApart(t *testing.T) {
	for n := 1; n <= 50; n++ {
		for _, size := range [][2]int{{100, 100}, {1280, 720}, {720, 1280}, {1999, 100}, {100, 1999}, {1920, 1080}} {
			cells := layout.BestFit(n, size[0], size[1])
			for i, a := range cells {
				if a.X < 0 || a.Y < 0 || a.X+a.Width > size[0] || a.Y+a.Height > size[1] || a.Width <= 0 || a.Height <= 0 {
					t.Fatalf("cell %d of %d in %v is %v", i, n, size, a)
				}
				for _, b := range cells[:i] {
					if a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height {
						t.Fatalf("of %d cells in %v %v and %v overlap", n, size, a, b)
					}
				}
			}
		}
	}
}
