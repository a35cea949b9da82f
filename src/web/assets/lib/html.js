// What every page draws with: Preact's elements in htm's notation, hooks and signals.
import { h, render, Component, Fragment } from '../vendor/preact.js';
import { useState, useEffect, useRef, useMemo, useCallback, useLayoutEffect } from '../vendor/hooks.js';
import htm from '../vendor/htm.js';
import { signal, computed, effect } from '../vendor/signals.js';

export const html = htm.bind(h);
export { render, Component, Fragment, useState, useEffect, useRef, useMemo, useCallback, useLayoutEffect, signal, computed, effect };
