// Which moment is shown: the present of a live film, or one that was chosen. Times in seconds.

const DELAY = 0.4;   // behind the present, so that what all nodes said has arrived

export class Player {
  constructor() {
    this.t = 0;
    this.speed = 1;
    this.playing = true;
    this.live = true;      // follows the present; only a film that still grows can
    this.growing = true;
  }

  file(film, speed) {
    Object.assign(this, { t: film.begin, speed, playing: true, live: false, growing: false });
  }

  cluster() {
    Object.assign(this, { speed: 1, playing: true, live: true, growing: true });
  }

  go(t) {
    this.t = t;
    this.live = false;
  }

  pause() {
    this.playing = false;
    this.live = false;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.playing = true;
  }

  // Seconds have passed; `present` is now, on the film's clock.
  pass(seconds, film, present) {
    const last = this.growing ? present - DELAY : film.end;
    if (this.live) this.t = last;
    else if (this.playing) this.t += seconds * this.speed;
    if (this.t > last) {
      this.t = last;
      if (this.growing && this.playing && this.speed >= 1) this.live = true;
    }
    if (this.t < film.begin) this.t = film.begin;
  }
}
