// Before the first paint: the theme and language that were chosen here, so that nothing flashes. No module, so that it is not deferred.
const theme = localStorage.getItem('keepline.theme');
if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
document.documentElement.lang = localStorage.getItem('keepline.language') ?? 'en';
