"""People in two views: detection, tracking, matching, and the picture and events that come of it."""
